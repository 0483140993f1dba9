//! A relay: what it decides is its own code, `Progress` and `Acks`.

use outbox::log::Cursor;
use outbox_relay::{Acks, Progress};

use super::{
    log,
    postgres::{Event, Key, Postgres, Row, Snapshot},
};

/// The active relay, with what it has sent.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Relay {
    pub progress: Progress<Snapshot>,
    acks: Acks<Event>,
    /// The messages in the order of sending, until they are acknowledged.
    pub in_flight: Vec<Sent>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Sent {
    number: u64,
    pub event: Event,
    /// Kafka has it, and has not said so yet.
    pub is_written: bool,
}

impl Relay {
    /// Becomes the active one. Whatever an earlier one knew is gone.
    pub fn lead(saved: &Cursor<Snapshot>) -> Self {
        Self {
            progress: Progress::new(saved.clone()),
            acks: Acks::default(),
            in_flight: Vec::new(),
        }
    }

    /// Looks at the log once, and sends what is found.
    pub fn poll(&mut self, postgres: &Postgres, wanted: usize) {
        let rows = next(&mut self.progress, self.acks.prefix(), postgres, wanted);
        if !rows.is_empty() {
            self.send(&rows);
        }
    }

    fn send(&mut self, rows: &[Row]) {
        for row in rows {
            let number = self.acks.add(row.position, row.event);
            self.in_flight.push(Sent {
                number,
                event: row.event,
                is_written: false,
            });
        }
        self.progress.add_sent(rows.len() as u64);
        self.progress.mark_read_up_to(true);
    }

    /// Kafka takes what was sent for a key in the order of sending.
    pub fn next_to_write(&self, key: Key) -> Option<Event> {
        let mut of_key = self.in_flight.iter().filter(|sent| sent.event.key == key);
        of_key.find(|sent| !sent.is_written).map(|sent| sent.event)
    }

    pub fn written(&mut self, event: Event) {
        let mut unwritten = self.in_flight.iter_mut().filter(|sent| !sent.is_written);
        if let Some(sent) = unwritten.find(|sent| sent.event == event) {
            sent.is_written = true;
        }
    }

    /// Of one key Kafka acknowledges in the order of writing, of several in any.
    pub fn next_to_acknowledge(&self, key: Key) -> Option<Event> {
        let first = self.in_flight.iter().find(|sent| sent.event.key == key)?;
        first.is_written.then_some(first.event)
    }

    pub fn acknowledged(&mut self, key: Key) {
        let Some(at) = self.in_flight.iter().position(|sent| sent.event.key == key) else {
            return;
        };
        let sent = self.in_flight.remove(at);
        self.acks.acknowledge(sent.number);
        self.progress.set_acknowledged(self.acks.prefix());
    }

    /// Where nothing is in flight and all that was read is acknowledged, this relay is as one that
    /// begins there.
    pub fn forget_numbers(&mut self, saved: &Cursor<Snapshot>) {
        let acknowledged = self.progress.unsaved().unwrap_or(saved);
        let is_idle = self.in_flight.is_empty() && self.progress.is_settled();
        if is_idle && acknowledged == self.progress.read() {
            *self = Self::lead(self.progress.read());
            self.progress.set_saved(saved.clone());
        }
    }

    /// Whether the relay has nothing left to do.
    pub fn is_at_rest(&self, postgres: &Postgres) -> bool {
        let read = self.progress.read();
        let is_up_to_date = read.target.is_none() && read.acknowledged == postgres.snapshot();
        is_up_to_date && self.in_flight.is_empty() && self.progress.is_settled()
    }
}

/// One query to the log, and what follows from it: what the relay's `Reader` does between two of
/// them.
pub fn next(
    progress: &mut Progress<Snapshot>,
    acknowledged_events: u64,
    postgres: &Postgres,
    wanted: usize,
) -> Vec<Row> {
    let Cursor {
        acknowledged,
        target,
    } = progress.read().clone();
    let rows = if let Some((target, after)) = target {
        let rows = log::page(postgres, acknowledged, target, after, wanted);
        progress
            .read_mut()
            .finish_page(rows.last().map(|row| row.position));
        rows
    } else {
        let (now, rows) = log::tick(postgres, acknowledged);
        if rows.len() > wanted {
            let before = log::lowest(postgres, acknowledged, now);
            progress.read_mut().start_target(now, before);
            return Vec::new();
        }
        progress.read_mut().advance_to(now);
        rows
    };
    if rows.is_empty() {
        progress.mark_read_up_to(false);
        progress.set_acknowledged(acknowledged_events);
    }
    rows
}
