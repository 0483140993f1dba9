use std::fmt;

use crate::event::Event;

/// The services that listen. Notifications does as well, and has no part in the saga: it decides
/// nothing and tells no service.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Consumer {
    Billing,
    Orders,
    Warehouse,
    Delivery,
}

impl Consumer {
    pub const ALL: [Self; 4] = [Self::Billing, Self::Orders, Self::Warehouse, Self::Delivery];
}

impl fmt::Display for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Billing => "billing",
            Self::Orders => "orders",
            Self::Warehouse => "warehouse",
            Self::Delivery => "delivery",
        })
    }
}

/// The key of a message. There is one customer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Key {
    User,
    Order(u8),
}

/// The messages of one topic and one key for one consumer. Only these are in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Lane {
    pub consumer: Consumer,
    pub topic: u8,
    pub key: Key,
}

pub type Message = (Lane, Event);

/// The messages under way: those of a lane one behind the other, lanes sorted, so that equal queues
/// are equal.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct Queues(Vec<Message>);

impl Queues {
    pub fn push(&mut self, message: Message) {
        let end = self.0.partition_point(|(lane, _)| *lane <= message.0);
        self.0.insert(end, message);
    }

    /// The first message of each lane.
    pub fn heads(&self) -> impl Iterator<Item = Message> {
        let is_first = |at: usize| at == 0 || self.0[at - 1].0 != self.0[at].0;
        let heads = self
            .0
            .iter()
            .enumerate()
            .filter(move |(at, _)| is_first(*at));
        heads.map(|(_, message)| *message)
    }

    pub fn pop(&mut self, lane: Lane) -> Option<Event> {
        let first = self.0.partition_point(|(other, _)| *other < lane);
        let is_there = self.0.get(first).is_some_and(|(found, _)| *found == lane);
        is_there.then(|| self.0.remove(first).1)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Messages without an order among them.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct Messages(Vec<Message>);

impl Messages {
    pub fn insert(&mut self, message: Message) {
        if let Err(place) = self.0.binary_search(&message) {
            self.0.insert(place, message);
        }
    }

    pub fn remove(&mut self, message: Message) {
        if let Ok(place) = self.0.binary_search(&message) {
            self.0.remove(place);
        }
    }

    pub fn contains(&self, message: Message) -> bool {
        self.0.binary_search(&message).is_ok()
    }

    pub fn iter(&self) -> impl Iterator<Item = Message> {
        self.0.iter().copied()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
