use std::fmt;

use contracts::orders::StopReason;
use delivery::domain::booking::{self, CourierOutcome};
use orders::domain::facts::Kind;
use stateright::{Model, Property};

use crate::{
    event::Event,
    participants, properties,
    queues::{Key, Lane, Message},
    routes::Routes,
    world::{Fault, Order, Shop, World},
};

/// The bounds of one check.
#[derive(Clone)]
pub struct Saga {
    pub shops: Vec<Shop>,
    pub orders: u8,
    /// The people who may ask for a stop of each order, at any moment and as often as they like.
    pub stops: &'static [StopReason],
    /// The number of stops of orders and deletions of customers, together.
    pub disturbances: usize,
    pub repeats: Repeats,
    /// How many messages an operator may discard, each to be replayed at any later moment.
    pub discards: u8,
    pub routes: Routes,
}

/// Whether a message may come again, at any moment after the first time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    Never,
    /// Any number of times, and the inbox drops it.
    Inbox,
    /// Without an inbox: as often as it changes nothing, and once if it changes something.
    NoInbox,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Action {
    /// A consumer handles the first message of a lane.
    Deliver(Message),
    /// A consumer gets a message again.
    Repeat(Message),
    Stop(u8, StopReason),
    Report(u8, CourierOutcome),
    DeleteUser,
    Discard(Message),
    Replay(Message),
}

impl Model for Saga {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let world = |shop: &Shop| World::new(*shop, self.orders, self.discards, &self.routes);
        self.shops.iter().map(world).collect()
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for message in world.queues.heads() {
            actions.push(Action::Deliver(message));
            if world.discards > 0 {
                actions.push(Action::Discard(message));
            }
        }
        actions.extend(world.had.iter().map(Action::Repeat));
        actions.extend(world.discarded.iter().map(Action::Replay));
        let may_disturb = self.may_disturb(world);
        for (key, order) in (0..self.orders).zip(&world.orders) {
            let outcomes = [CourierOutcome::Delivered, CourierOutcome::RecipientAbsent];
            let accepted =
                outcomes.map(|outcome| (outcome, booking::report(order.booking, outcome).is_ok()));
            let reports = accepted.into_iter().filter(|(_, is_accepted)| *is_accepted);
            actions.extend(reports.map(|(outcome, _)| Action::Report(key, outcome)));
            if may_disturb {
                let sends = |reason: &&StopReason| !order.known.stop(**reason).1.is_empty();
                actions.extend(
                    self.stops
                        .iter()
                        .filter(sends)
                        .map(|reason| Action::Stop(key, *reason)),
                );
            }
        }
        if may_disturb && !world.is_user_deleted {
            actions.push(Action::DeleteUser);
        }
    }

    /// The world after an action, if that changes anything.
    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        match action {
            Action::Deliver((lane, event)) => {
                world.queues.pop(lane);
                if self.repeats != Repeats::Never {
                    world.had.insert((lane, event));
                }
                self.handle(&mut world, lane, event);
            }
            Action::Repeat((lane, event)) => {
                if self.repeats == Repeats::Inbox && world.had.contains((lane, event)) {
                    return None;
                }
                self.handle(&mut world, lane, event);
                if world == *before {
                    return None;
                }
                world.had.remove((lane, event));
            }
            Action::Stop(order, reason) => self.stop(&mut world, order, reason),
            Action::Report(order, outcome) => {
                let told = participants::report(&mut world, order.into(), outcome)?;
                world.send(&self.routes, Key::Order(order), told);
            }
            Action::DeleteUser => {
                world.is_user_deleted = true;
                world.send(&self.routes, Key::User, Event::UserDeleted);
            }
            Action::Discard((lane, event)) => {
                world.queues.pop(lane);
                world.discarded.insert((lane, event));
                world.discards -= 1;
            }
            Action::Replay((lane, event)) => {
                world.discarded.remove((lane, event));
                self.handle(&mut world, lane, event);
            }
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all(self)
    }

    fn format_action(&self, action: &Action) -> String {
        let of = |order: u8| {
            if self.orders > 1 {
                format!(" {}", order + 1)
            } else {
                String::new()
            }
        };
        let message = |(lane, event): Message| {
            let order = match lane.key {
                Key::User => String::new(),
                Key::Order(order) => of(order),
            };
            format!("{event}{order} → {}", lane.consumer)
        };
        match *action {
            Action::Deliver(delivered) => message(delivered),
            Action::Repeat(repeated) => format!("again {}", message(repeated)),
            Action::Stop(order, reason) => format!("{} stops{}", reason.code(), of(order)),
            Action::Report(order, outcome) => format!("courier: {}{}", Said(outcome), of(order)),
            Action::DeleteUser => "customer deleted".to_owned(),
            Action::Discard(discarded) => format!("discard {}", message(discarded)),
            Action::Replay(replayed) => format!("replay {}", message(replayed)),
        }
    }
}

impl Saga {
    fn handle(&self, world: &mut World, lane: Lane, event: Event) {
        let told = participants::handle(world, lane.consumer, lane.key, event);
        let told = told.unwrap_or_else(|| {
            panic!(
                "{} subscribes to {event}, which the model does not know",
                lane.consumer
            )
        });
        for event in told {
            world.send(&self.routes, lane.key, event);
        }
    }

    fn stop(&self, world: &mut World, order: u8, reason: StopReason) {
        let known = world.orders[usize::from(order)].known;
        let is_late = [
            Kind::Shipped,
            Kind::ReleaseRefused,
            Kind::Delivered,
            Kind::Failed,
            Kind::Returned,
            Kind::Closed,
        ];
        if is_late.iter().any(|kind| known.has(*kind)) {
            world.fault = Some(Fault::LateStop);
        }
        let (stopped, told) = known.stop(reason);
        world.orders[usize::from(order)].known = stopped;
        for event in told {
            world.send(&self.routes, Key::Order(order), *event);
        }
    }

    /// Whether one more stop or deletion is within the bounds.
    fn may_disturb(&self, world: &World) -> bool {
        let is_stopped = |order: &&Order| order.sent.has(Event::StopRequested);
        let stopped = world.orders.iter().filter(is_stopped).count();
        stopped + usize::from(world.is_user_deleted) < self.disturbances
    }
}

struct Said(CourierOutcome);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            CourierOutcome::Delivered => "delivered",
            CourierOutcome::RecipientAbsent => "recipient absent",
        })
    }
}
