use outbox::log::Cursor;

use super::{
    postgres::{Event, Key, Postgres, Row, Snapshot},
    relay::Relay,
};

/// A state of one service's outbox, its relays and its topic.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct World {
    pub postgres: Postgres,
    pub relay: Option<Relay>,
    /// What relays that lost the lead had sent: killed, with messages on the wire; frozen, with
    /// messages in their buffer; cut off by a crash of the database. Any of it may still come to
    /// Kafka, in the order of each key.
    pub adrift: Vec<Vec<Event>>,
    /// Of each key the first occurrences in the topic. What comes again has no effect: the inbox
    /// drops it.
    pub topic: [Vec<Event>; 2],
    /// How often the lead may still be lost, and the database crash.
    pub losses: u8,
    pub crashes: u8,
    /// A relay saved a cursor that counts less as acknowledged than the one before.
    pub has_stepped_back: bool,
}

impl World {
    pub fn has(&self, event: Event) -> bool {
        self.topic[event.key as usize].contains(&event)
    }

    /// Kafka writes an event.
    pub fn write(&mut self, event: Event) {
        if !self.has(event) {
            self.topic[event.key as usize].push(event);
        }
        self.tidy();
    }

    /// What is adrift and in the topic already changes nothing any more. No reader can tell the
    /// others' order.
    fn tidy(&mut self) {
        let topic = &self.topic;
        for adrift in &mut self.adrift {
            adrift.retain(|event| !topic[event.key as usize].contains(event));
        }
        self.adrift.retain(|adrift| !adrift.is_empty());
        self.adrift.sort_unstable();
    }

    /// The messages adrift that may arrive next.
    pub fn next_adrift(&self) -> impl Iterator<Item = (usize, Event)> {
        let firsts = |(at, adrift): (usize, &Vec<Event>)| {
            let first = |key| adrift.iter().find(|event| event.key == key).copied();
            Key::ALL.map(|key| Some((at, first(key)?)))
        };
        self.adrift.iter().enumerate().flat_map(firsts).flatten()
    }

    /// The active relay is no longer that. What it had not written may still come.
    pub fn lose_the_relay(&mut self) {
        let Some(relay) = self.relay.take() else {
            return;
        };
        let unwritten = relay.in_flight.iter().filter(|sent| !sent.is_written);
        self.adrift.push(unwritten.map(|sent| sent.event).collect());
        self.tidy();
    }

    pub fn save(&mut self, is_flushed: bool) {
        let Some(relay) = &mut self.relay else { return };
        let Some(cursor) = relay.progress.unsaved().cloned() else {
            return;
        };
        relay.progress.set_saved(cursor.clone());
        let before = &self.postgres.saved;
        let is_less = |row: &Row| counts(before, row) && !counts(&cursor, row);
        self.has_stepped_back |= self.postgres.committed().any(is_less);
        self.postgres.save(cursor, is_flushed);
    }

    /// Forgets the numbers of earlier sends if nothing is in flight, since they make no difference.
    pub fn forget_numbers(&mut self) {
        if let Some(relay) = &mut self.relay {
            relay.forget_numbers(&self.postgres.saved);
        }
    }

    /// Nothing is in flight, and the relay polls and finds nothing.
    pub fn is_idle(&self, wanted: usize) -> bool {
        let looks_in_vain = |relay: &Relay| {
            let mut polled = relay.clone();
            polled.poll(&self.postgres, wanted);
            polled == *relay
        };
        let is_free = |relay: &&Relay| relay.in_flight.is_empty();
        self.postgres.is_quiet()
            && self
                .relay
                .as_ref()
                .filter(is_free)
                .is_some_and(looks_in_vain)
    }

    pub fn is_at_rest(&self) -> bool {
        let is_read = self
            .relay
            .as_ref()
            .is_some_and(|relay| relay.is_at_rest(&self.postgres));
        is_read && self.postgres.is_quiet()
    }
}

/// Whether a row counts as acknowledged.
pub fn counts(cursor: &Cursor<Snapshot>, row: &Row) -> bool {
    let is_paged =
        |(target, position): (Snapshot, i64)| target.sees(row.xid) && row.position <= position;
    cursor.acknowledged.sees(row.xid) || cursor.target.is_some_and(is_paged)
}
