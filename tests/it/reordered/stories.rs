use std::collections::{BTreeSet, VecDeque};

use rand::{Rng, rngs::StdRng};

use super::told::Told::{self, *};

/// One way that an order, a customer or goods can take: what happens, each with what causes it, in
/// one possible order.
pub struct Story {
    pub name: &'static str,
    pub events: &'static [(Told, &'static [Told])],
}

pub const STORIES: [Story; 10] = [
    Story {
        name: "delivered",
        events: &[
            (Placed, &[]),
            (Held, &[Placed]),
            (Reserved, &[Held]),
            (Booked, &[Reserved]),
            (Captured, &[Booked]),
            (Shipped, &[Captured]),
            (Delivered, &[Shipped]),
            (FinishedDelivered, &[Delivered]),
        ],
    },
    Story {
        name: "payment refused",
        events: &[
            (Placed, &[]),
            (HoldRefused, &[Placed]),
            (ClosedRejected, &[HoldRefused]),
            (Settled, &[ClosedRejected]),
            (FinishedRejected, &[Settled]),
        ],
    },
    Story {
        name: "stock refused",
        events: &[
            (Placed, &[]),
            (Held, &[Placed]),
            (ReserveRefused, &[Held]),
            (ClosedRejected, &[ReserveRefused]),
            (Settled, &[ClosedRejected]),
            (FinishedRejected, &[Settled]),
        ],
    },
    Story {
        name: "place refused",
        events: &[
            (Placed, &[]),
            (Held, &[Placed]),
            (Reserved, &[Held]),
            (BookingRefused, &[Reserved]),
            (ClosedRejected, &[BookingRefused]),
            (Settled, &[ClosedRejected]),
            (FinishedRejected, &[Settled]),
        ],
    },
    Story {
        name: "cancelled",
        events: &[
            (Placed, &[]),
            (Held, &[Placed]),
            (Reserved, &[Held]),
            (Booked, &[Reserved]),
            (StopRequested, &[Placed]),
            (Released, &[StopRequested]),
            // Otherwise the warehouse would have shipped, and answered the stop in another way.
            (Captured, &[Booked, Released]),
            (ClosedCancelled, &[Released]),
            (Settled, &[ClosedCancelled]),
            (FinishedCancelled, &[Settled]),
        ],
    },
    Story {
        name: "stopped too late",
        events: &[
            (Placed, &[]),
            (Held, &[Placed]),
            (Reserved, &[Held]),
            (Booked, &[Reserved]),
            (Captured, &[Booked]),
            (StopRequested, &[Placed]),
            // Otherwise no stop would have been requested.
            (Shipped, &[Captured, StopRequested]),
            (ReleaseRefused, &[StopRequested, Shipped]),
            (Delivered, &[Shipped]),
            (FinishedDelivered, &[Delivered]),
        ],
    },
    Story {
        name: "recipient absent",
        events: &[
            (Placed, &[]),
            (Held, &[Placed]),
            (Reserved, &[Held]),
            (Booked, &[Reserved]),
            (Captured, &[Booked]),
            (Shipped, &[Captured]),
            (Failed, &[Shipped]),
            (Returned, &[Failed]),
            (ClosedRefunded, &[Returned]),
            (Settled, &[ClosedRefunded]),
            (FinishedRefunded, &[Settled]),
        ],
    },
    Story {
        name: "customer gone",
        events: &[
            (Registered, &[]),
            (ToppedUp, &[Registered]),
            (Withdrawn, &[ToppedUp]),
            (Deleted, &[Registered]),
        ],
    },
    Story {
        name: "logged out",
        events: &[(TokensVoid, &[])],
    },
    Story {
        name: "goods listed",
        events: &[(Listed, &[])],
    },
];

impl Story {
    fn causes(&self, told: Told) -> &'static [Told] {
        let found = self.events.iter().find(|(event, _)| *event == told);
        found.expect("an event of this story").1
    }

    /// The causes of an event, near and far.
    fn ancestors(&self, told: Told) -> BTreeSet<Told> {
        let mut known = BTreeSet::new();
        let mut open = VecDeque::from(self.causes(told).to_vec());
        while let Some(next) = open.pop_front() {
            if known.insert(next) {
                open.extend(self.causes(next));
            }
        }
        known
    }

    /// An event that reaches a service, or a person's act there.
    pub fn steps(&self, service: &str, hears: &[&str]) -> Vec<Told> {
        let events = self.events.iter().map(|(told, _)| *told);
        events
            .filter(|told| hears.contains(&told.event_type()) || told.is_by_hand(service))
            .collect()
    }

    /// Whether `earlier` always reaches the service before `later`: on one topic, or because the
    /// service itself has to tell something about it before there can be `later`.
    fn is_before(&self, service: &str, earlier: Told, later: Told) -> bool {
        let place = |told| self.events.iter().position(|(event, _)| *event == told);
        let own = |told: &Told| told.topic() == service;
        if earlier.topic() == later.topic() && place(earlier) < place(later) {
            return true;
        }
        let mut stems_from = self.ancestors(later);
        stems_from.insert(later);
        let mut told_by_it = stems_from.into_iter().filter(own);
        told_by_it.any(|told| told == earlier || self.causes(told).contains(&earlier))
    }

    /// A random one of the orders in which these can reach the service.
    pub fn shuffled(&self, service: &str, steps: &[Told], random: &mut StdRng) -> Vec<Told> {
        let mut left = steps.to_vec();
        let mut order = Vec::new();
        while !left.is_empty() {
            let is_free = |told: &Told| {
                let mut others = left.iter().filter(|other| *other != told);
                !others.any(|other| self.is_before(service, *other, *told))
            };
            let free: Vec<usize> = (0..left.len()).filter(|at| is_free(&left[*at])).collect();
            assert!(
                !free.is_empty(),
                "{}: {left:?} wait for each other",
                self.name
            );
            order.push(left.remove(free[random.random_range(0..free.len())]));
        }
        order
    }
}
