use std::{
    cell::RefCell,
    collections::HashMap,
    fmt,
    hash::{Hash, Hasher},
    ptr,
    sync::Mutex,
};

use chrono::{DateTime, TimeDelta, Utc};
use contracts::{
    billing::HoldRefusal,
    delivery::{BookingRefusal, Handover},
    orders::StopReason,
};
use orders::domain::{
    decide::decide,
    facts::{Fact, Facts, Kind},
    status::Status,
    stop::stop,
};

use crate::{event::Event, world::SKU};

/// What orders knows of an order: the real set of facts. Equal sets are one in memory, so that a
/// state of the model holds an address, and each question about a set is asked once; its answer
/// cannot change, because the domain is pure.
#[derive(Clone, Copy)]
pub struct Known(&'static Knowledge);

struct Knowledge {
    facts: Facts,
    status: Status,
}

/// What follows for an order, and the events that orders publishes.
pub type Step = (Known, &'static [Event]);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Input {
    Heard(Event, Handover),
    Stop(StopReason),
}

impl Known {
    /// An order that was placed just now.
    pub fn placed() -> Self {
        let mut facts = Facts::default();
        facts.add(Fact::Placed, noon());
        Self::intern(facts)
    }

    pub fn status(self) -> Status {
        self.0.status
    }

    pub fn has(self, kind: Kind) -> bool {
        self.0.facts.has(kind)
    }

    pub fn get(self, kind: Kind) -> Option<&'static Fact> {
        self.0.facts.get(kind)
    }

    /// Orders hears an event. `handover` is the zone's, which `delivery.booked` carries.
    pub fn hear(self, event: Event, handover: Handover) -> Step {
        self.once(Input::Heard(event, handover))
    }

    /// A customer or a manager asks for a stop.
    pub fn stop(self, reason: StopReason) -> Step {
        self.once(Input::Stop(reason))
    }

    fn once(self, input: Input) -> Step {
        thread_local! {
            static ANSWERS: RefCell<HashMap<(Known, Input), Step>> = RefCell::default();
        }
        ANSWERS.with_borrow_mut(|answers| {
            *answers
                .entry((self, input))
                .or_insert_with(|| self.ask(input))
        })
    }

    fn ask(self, input: Input) -> Step {
        let mut facts = self.0.facts.clone();
        let mut told = Vec::new();
        let learnt = match input {
            Input::Heard(event, handover) => fact(event, handover),
            Input::Stop(reason) => stop(&facts, reason)
                .ok()
                .flatten()
                .inspect(|_| told.push(Event::StopRequested)),
        };
        if learnt.is_some_and(|fact| facts.add(fact, noon())) {
            while let Some(next) = decide(&facts) {
                told.push(event_of(&next));
                // Without its guard a decision would be published again and again; twice is enough
                // to be noticed.
                if !facts.add(next, noon()) {
                    break;
                }
            }
        }
        (Self::intern(facts), told.leak())
    }

    fn intern(facts: Facts) -> Self {
        static KNOWN: Mutex<Option<HashMap<Vec<Fact>, Known>>> = Mutex::new(None);
        let mut known = KNOWN.lock().unwrap();
        let key = facts.iter().map(|(fact, _)| fact.clone()).collect();
        *known.get_or_insert_default().entry(key).or_insert_with(|| {
            let status = Status::of(&facts);
            Known(Box::leak(Box::new(Knowledge { facts, status })))
        })
    }
}

impl PartialEq for Known {
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self.0, other.0)
    }
}

impl Eq for Known {}

impl Hash for Known {
    fn hash<H: Hasher>(&self, state: &mut H) {
        ptr::hash(self.0, state);
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = self.0.facts.iter().map(|(fact, _)| fact.kind());
        write!(f, "{:?} by ", self.0.status)?;
        f.debug_set().entries(kinds).finish()
    }
}

/// The fact that orders makes of an event; `None`: it does not listen to it.
pub fn fact(event: Event, handover: Handover) -> Option<Fact> {
    Some(match event {
        Event::Held => Fact::Held,
        Event::InsufficientFunds => Fact::HoldRefused {
            reason: HoldRefusal::InsufficientFunds,
        },
        Event::NoAccount => Fact::HoldRefused {
            reason: HoldRefusal::NoAccount,
        },
        Event::AccountClosed => Fact::HoldRefused {
            reason: HoldRefusal::AccountClosed,
        },
        Event::Reserved => Fact::Reserved,
        Event::OutOfStock => Fact::ReserveRefused {
            sku: SKU.parse().unwrap(),
        },
        Event::Booked => Fact::Booked {
            ends_at: noon() + TimeDelta::hours(1),
            handover,
        },
        Event::ZoneNotServed => Fact::BookingRefused {
            reason: BookingRefusal::ZoneNotServed,
        },
        Event::UnknownSlot => Fact::BookingRefused {
            reason: BookingRefusal::UnknownSlot,
        },
        Event::SlotFull => Fact::BookingRefused {
            reason: BookingRefusal::SlotFull,
        },
        Event::SlotPast => Fact::BookingRefused {
            reason: BookingRefusal::SlotPast,
        },
        Event::Captured => Fact::Captured,
        Event::Shipped => Fact::Shipped,
        Event::Released => Fact::Released,
        Event::ReleaseRefused => Fact::ReleaseRefused,
        Event::Delivered => Fact::Delivered,
        Event::Failed => Fact::Failed,
        Event::Returned => Fact::Returned,
        Event::Settled => Fact::Settled,
        Event::Placed
        | Event::StopRequested
        | Event::Closed
        | Event::Finished
        | Event::UserDeleted => {
            return None;
        }
    })
}

fn event_of(decided: &Fact) -> Event {
    match decided {
        Fact::Closed { .. } => Event::Closed,
        Fact::Finished { .. } => Event::Finished,
        other => unreachable!("only verdicts and ends are decided, not {other:?}"),
    }
}

/// The only time there is: nothing that the model asks depends on its passing.
pub fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}
