//! A relay that parks what Kafka refuses: what the reader does between two queries, and `Progress`
//! and `Acks` as they are.

use std::collections::VecDeque;

use outbox::log::Cursor;
use outbox_relay::{Acks, Progress};

use super::{
    Rule, Sending,
    client::{Answer, Message, Report},
    feeder::Feeder,
    parked::{Parked, State},
};
use crate::relay::{
    postgres::{Event, Key, Postgres, Row, Snapshot},
    relay::next,
};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SendMode {
    Pipelined,
    OneByOne { until: i64 },
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Relay {
    pub progress: Progress<Snapshot>,
    acks: Acks<Event>,
    pub feeder: Feeder,
    pub mode: SendMode,
    /// What it knows of parked events: the keys that have some, and the positions of those that
    /// were discarded.
    parked: Vec<Key>,
    discarded: Vec<i64>,
    /// The rows that were read and are still to be sent or parked.
    page: VecDeque<Row>,
    pub task: Task,
    /// It sent an event that was discarded.
    pub has_sent_discarded: bool,
}

/// What the reader is at.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Task {
    Reading,
    /// Waits for Kafka's answer to this row, with nothing else in flight.
    Alone(Row),
    /// Waits until nothing is in flight, to send a key's parked events again.
    Settling(Key),
    /// Sends these again, the first of them now.
    Replaying(VecDeque<Row>),
    /// Where that takes two steps: what follows an event that was refused again is still to be put
    /// back.
    PuttingBack(Key),
}

/// Why the relay starts again, and up to where it then sends one by one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// Kafka refused an event up to this position.
    Refused {
        until: i64,
    },
    Broken,
}

impl Relay {
    pub fn lead(
        id: u8,
        saved: &Cursor<Snapshot>,
        mode: SendMode,
        parked: &Parked,
        bounds: &Sending,
    ) -> Self {
        let mut relay = Self {
            progress: Progress::new(saved.clone()),
            acks: Acks::default(),
            feeder: Feeder::new(id, bounds),
            mode,
            parked: Vec::new(),
            discarded: Vec::new(),
            page: VecDeque::new(),
            task: Task::Reading,
            has_sent_discarded: false,
        };
        relay.load_parked(parked, bounds);
        relay
    }

    fn load_parked(&mut self, parked: &Parked, bounds: &Sending) {
        self.parked = Key::ALL
            .into_iter()
            .filter(|key| parked.has_waiting(*key))
            .collect();
        if bounds.keeps(Rule::SkipDiscarded) {
            self.discarded = parked
                .of_state(State::Discarded)
                .map(|row| row.position)
                .collect();
        }
    }

    /// Whether it may poll: the page before is done with.
    pub fn is_reading(&self) -> bool {
        self.task == Task::Reading && self.page.is_empty()
    }

    pub fn poll(
        &mut self,
        postgres: &Postgres,
        wanted: usize,
        parked: &mut Parked,
        bounds: &Sending,
    ) {
        let rows = next(&mut self.progress, self.acks.prefix(), postgres, wanted);
        self.page.extend(rows);
        self.proceed(parked, bounds);
    }

    /// Replays the parked events of a key, if an operator asks for it.
    pub fn process_parked(&mut self, parked: &mut Parked, bounds: &Sending) {
        self.load_parked(parked, bounds);
        if let Some(key) = Key::ALL.into_iter().find(|key| parked.is_in_replay(*key)) {
            self.task = Task::Settling(key);
            self.proceed(parked, bounds);
        }
    }

    /// Does everything that needs no answer of Kafka.
    fn proceed(&mut self, parked: &mut Parked, bounds: &Sending) {
        while self.task == Task::Reading || self.is_settled() {
            match self.task.clone() {
                Task::Reading => {
                    let Some(row) = self.page.pop_front() else {
                        return;
                    };
                    self.send(row, parked, bounds);
                    self.end_page();
                }
                Task::Alone(row) => {
                    self.task = Task::Reading;
                    self.was_handled(&row);
                    self.end_page();
                }
                Task::Settling(key) => self.replay(parked.in_replay(key), parked, bounds),
                Task::Replaying(mut rows) => {
                    let Some(sent) = rows.pop_front() else { return };
                    parked.sent(&sent);
                    if bounds.keeps(Rule::AskBeforeEach) || rows.is_empty() {
                        rows = parked.in_replay(sent.event.key).into();
                    }
                    self.replay(rows.into(), parked, bounds);
                }
                Task::PuttingBack(_) => return,
            }
        }
    }

    /// Sends the first of them.
    fn replay(&mut self, rows: Vec<Row>, parked: &Parked, bounds: &Sending) {
        if let Some(first) = rows.first() {
            self.enqueue(*first, parked);
            self.task = Task::Replaying(rows.into());
        } else {
            self.load_parked(parked, bounds);
            self.task = Task::Reading;
        }
    }

    fn send(&mut self, row: Row, parked: &mut Parked, bounds: &Sending) {
        if self.parked.contains(&row.event.key) {
            if parked.park_behind(row) {
                return self.was_handled(&row);
            }
            self.load_parked(parked, bounds);
        }
        if self.discarded.contains(&row.position) {
            return self.was_handled(&row);
        }
        match self.mode {
            SendMode::Pipelined => self.enqueue(row, parked),
            SendMode::OneByOne { .. } if parked.is_parked(&row) => self.was_handled(&row),
            SendMode::OneByOne { .. } => {
                self.enqueue(row, parked);
                self.task = Task::Alone(row);
            }
        }
    }

    fn was_handled(&mut self, row: &Row) {
        if self.mode
            == (SendMode::OneByOne {
                until: row.position,
            })
        {
            self.mode = SendMode::Pipelined;
        }
    }

    fn end_page(&mut self) {
        if self.is_reading() {
            self.progress.mark_read_up_to(true);
        }
    }

    fn enqueue(&mut self, row: Row, parked: &Parked) {
        self.has_sent_discarded |= parked.state(&row) == Some(State::Discarded);
        let number = self.acks.add(row.position, row.event);
        self.progress.add_sent(1);
        self.feeder.send(number, row.event);
    }

    fn is_settled(&self) -> bool {
        self.acks.prefix() == self.progress.sent()
    }

    /// Kafka answers to the first request in flight for a partition.
    pub fn answered(
        &mut self,
        partition: usize,
        answer: Answer,
        parked: &mut Parked,
        bounds: &Sending,
    ) -> Option<Trouble> {
        match self.feeder.answered(partition, answer) {
            Report::Nothing => None,
            Report::Broken => Some(Trouble::Broken),
            Report::Delivered(messages) => {
                for message in messages {
                    self.acks.acknowledge(message.number);
                }
                self.progress.set_acknowledged(self.acks.prefix());
                self.proceed(parked, bounds);
                None
            }
            Report::Refused(first, last) => self.refused(first, last, parked, bounds),
        }
    }

    fn refused(
        &mut self,
        first: Message,
        last: Message,
        parked: &mut Parked,
        bounds: &Sending,
    ) -> Option<Trouble> {
        let refused = self
            .acks
            .refused(first.number, last.number, String::new())?;
        match &self.task {
            Task::Reading | Task::Settling(_) => {}
            Task::Alone(row) => parked.park(*row),
            Task::Replaying(rows) => {
                let row = rows.front()?;
                let key = row.event.key;
                if bounds.keeps(Rule::PutBackAtOnce) {
                    parked.put_back(key);
                    return Some(Trouble::Broken);
                }
                parked.put_back_alone(row);
                self.task = Task::PuttingBack(key);
                return None;
            }
            Task::PuttingBack(_) => return None,
        }
        Some(Trouble::Refused {
            until: refused.until,
        })
    }

    /// Begins the numbers again, if nothing is in flight and all that was read is acknowledged.
    pub fn forget_numbers(&mut self, saved: &Cursor<Snapshot>) {
        let acknowledged = self.progress.unsaved().unwrap_or(saved);
        let is_idle = self.is_reading() && self.is_settled() && self.progress.is_settled();
        if is_idle && acknowledged == self.progress.read() {
            self.acks = Acks::default();
            self.progress = Progress::new(self.progress.read().clone());
            self.progress.set_saved(saved.clone());
        }
    }

    /// Whether the relay has nothing left to do.
    pub fn is_at_rest(&self, postgres: &Postgres) -> bool {
        let read = self.progress.read();
        let is_up_to_date = read.target.is_none() && read.acknowledged == postgres.snapshot();
        is_up_to_date
            && self.is_reading()
            && self.feeder.has_nothing()
            && self.progress.is_settled()
    }
}
