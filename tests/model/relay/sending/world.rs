use super::{
    Rule, Sending,
    client::{Answer, PARTITIONS, Report},
    feeder::Feeder,
    kafka::Leader,
    parked::{Parked, State},
    relay::{Relay, SendMode, Task, Trouble},
};
use crate::relay::postgres::{Event, Key, Postgres, Row};

/// A state of one service's outbox, its relays, and Kafka.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct World {
    pub postgres: Postgres,
    pub parked: Parked,
    pub relay: Option<Relay>,
    /// How the next relay begins, or this one began.
    pub mode: SendMode,
    /// The feeders of relays that are no longer the leader.
    pub ghosts: Vec<Ghost>,
    pub leaders: [Leader; PARTITIONS],
    /// Of each key the first occurrences in the topic. What comes again has no effect: the inbox
    /// drops it.
    pub topic: [Vec<Event>; 2],
    /// Kafka refuses these for good, until the topic's limit is raised.
    pub too_large: Vec<Event>,
    /// The faults and operations that may still happen.
    pub left: Left,
    /// The positions of what was ever discarded.
    pub discarded: Vec<i64>,
    pub has_sent_discarded: bool,
}

/// How often it may still happen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Left {
    /// A request is refused for the moment, or its answer is lost.
    pub refusals: u8,
    /// The active relay is killed or frozen.
    pub losses: u8,
    /// An operator replays or discards.
    pub operations: u8,
    /// A day passes without an acknowledgement.
    pub days: u8,
}

/// A producer of a relay that no longer leads.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Ghost {
    pub feeder: Feeder,
    /// Its client is gone, and only what it had in flight is left. Otherwise it was frozen, and
    /// goes on.
    pub is_gone: bool,
}

/// The sender: the leader, or one of the ghosts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sender {
    Leader,
    Ghost(usize),
}

impl World {
    pub fn has(&self, event: Event) -> bool {
        self.topic[event.key as usize].contains(&event)
    }

    /// Whether it waits for an operator, or an operator discarded it.
    pub fn is_parked(&self, row: &Row) -> bool {
        self.parked
            .state(row)
            .is_some_and(|state| state != State::Sent)
    }

    pub fn feeder(&self, sender: Sender) -> Option<&Feeder> {
        match sender {
            Sender::Leader => Some(&self.relay.as_ref()?.feeder),
            Sender::Ghost(at) => Some(&self.ghosts.get(at)?.feeder),
        }
    }

    pub fn senders(&self) -> impl Iterator<Item = (Sender, &Feeder)> {
        let active = self
            .relay
            .iter()
            .map(|relay| (Sender::Leader, &relay.feeder));
        let ghosts = self.ghosts.iter().enumerate();
        active.chain(ghosts.map(|(at, ghost)| (Sender::Ghost(at), &ghost.feeder)))
    }

    pub fn lead(&mut self, bounds: &Sending) {
        let is_used = |id: &u8| {
            self.ghosts
                .iter()
                .any(|ghost| ghost.feeder.client.producer.id == *id)
        };
        let id = (0..u8::MAX).find(|id| !is_used(id)).unwrap();
        self.relay = Some(Relay::lead(
            id,
            &self.postgres.saved,
            self.mode,
            &self.parked,
            bounds,
        ));
    }

    /// Killed, or frozen until PostgreSQL gives its lock to others: a client that was frozen may do
    /// what one that was killed had done already.
    pub fn lose_the_relay(&mut self) {
        if let Some(relay) = self.relay.take() {
            self.leave_behind(relay.feeder, false);
        }
        self.mode = SendMode::Pipelined;
    }

    fn leave_behind(&mut self, mut feeder: Feeder, is_gone: bool) {
        if is_gone {
            feeder.throw_away();
        }
        self.ghosts.push(Ghost { feeder, is_gone });
    }

    pub fn send(&mut self, sender: Sender, partition: usize, in_one_request: bool) {
        let feeder = match sender {
            Sender::Leader => self.relay.as_mut().map(|relay| &mut relay.feeder),
            Sender::Ghost(at) => self.ghosts.get_mut(at).map(|ghost| &mut ghost.feeder),
        };
        if let Some(feeder) = feeder {
            feeder.client.send(partition, in_one_request);
        }
    }

    /// Kafka comes to the first request that a producer has in flight for a partition.
    pub fn answer(
        &mut self,
        sender: Sender,
        partition: usize,
        outcome: Outcome,
        bounds: &Sending,
    ) -> Option<()> {
        let client = &self.feeder(sender)?.client;
        let producer = client.producer;
        let (first, request) = client.queues[partition].first()?;
        let events: Vec<Event> = request
            .messages
            .iter()
            .map(|message| message.event)
            .collect();
        let answer = match outcome {
            Outcome::Refused => Answer::Refused,
            Outcome::NotNow => Answer::NotNow,
            Outcome::Taken | Outcome::TakenUnheard => {
                let many = u8::try_from(events.len()).ok()?;
                if self.leaders[partition].takes(producer, first, many) {
                    for event in events {
                        self.write(event);
                    }
                    if outcome == Outcome::Taken {
                        Answer::Taken
                    } else {
                        Answer::NotNow
                    }
                } else {
                    Answer::OutOfOrder
                }
            }
        };
        match sender {
            Sender::Leader => {
                let trouble =
                    self.relay
                        .as_mut()?
                        .answered(partition, answer, &mut self.parked, bounds);
                if let Some(trouble) = trouble {
                    self.start_again(trouble);
                }
            }
            Sender::Ghost(at) => {
                let ghost = &mut self.ghosts[at];
                let report = ghost.feeder.answered(partition, answer);
                if ghost.is_gone || matches!(report, Report::Refused(..) | Report::Broken) {
                    ghost.is_gone = true;
                    ghost.feeder.throw_away();
                }
            }
        }
        Some(())
    }

    fn write(&mut self, event: Event) {
        if !self.has(event) {
            self.topic[event.key as usize].push(event);
        }
    }

    /// The relay saves what is acknowledged, and starts again with a new producer.
    fn start_again(&mut self, trouble: Trouble) {
        self.save();
        self.mode = match trouble {
            Trouble::Refused { until } if self.mode == SendMode::Pipelined => {
                SendMode::OneByOne { until }
            }
            Trouble::Refused { .. } | Trouble::Broken => SendMode::Pipelined,
        };
        if let Some(relay) = self.relay.take() {
            self.leave_behind(relay.feeder, true);
        }
    }

    /// The second step of putting back what was refused again.
    pub fn put_back(&mut self) {
        if let Some(Task::PuttingBack(key)) = self.relay.as_ref().map(|relay| &relay.task) {
            self.parked.put_back(*key);
            self.start_again(Trouble::Broken);
        }
    }

    pub fn save(&mut self) {
        let Some(relay) = &mut self.relay else { return };
        if let Some(cursor) = relay.progress.unsaved().cloned() {
            relay.progress.set_saved(cursor.clone());
            self.postgres.save(cursor, true);
        }
    }

    /// An operator gives the parked events of a key up.
    pub fn discard(&mut self, key: Key) {
        self.parked.discard(key);
        let discarded = self
            .parked
            .of_state(State::Discarded)
            .map(|row| row.position);
        self.discarded.extend(discarded);
        self.discarded.sort_unstable();
        self.discarded.dedup();
    }

    /// For a day no producer is acknowledged. What was frozen is gone, and so are its connections.
    pub fn pass_a_day(&mut self, bounds: &Sending) {
        self.ghosts.clear();
        self.leaders.iter_mut().for_each(Leader::forget_all);
        let Some(relay) = &mut self.relay else { return };
        relay.feeder.pass_a_day();
        // The relay notices before Kafka forgets the producer.
        if relay.feeder.is_silent() && bounds.keeps(Rule::GiveUpAfterHours) {
            self.start_again(Trouble::Broken);
            self.ghosts.clear();
        }
    }

    /// Forgets everything that makes no difference any more.
    pub fn tidy(&mut self) {
        if let Some(relay) = &mut self.relay {
            self.has_sent_discarded |= relay.has_sent_discarded;
            relay.forget_numbers(&self.postgres.saved);
        }
        let topic = &self.topic;
        let is_new = |event: Event| !topic[event.key as usize].contains(&event);
        self.ghosts
            .retain(|ghost| ghost.feeder.messages().any(|message| is_new(message.event)));
        self.ghosts
            .sort_unstable_by_key(|ghost| ghost.feeder.client.producer.id);
        let used: Vec<u8> = self
            .senders()
            .map(|(_, feeder)| feeder.client.producer.id)
            .collect();
        for leader in &mut self.leaders {
            leader.keep(|id| used.contains(&id));
        }
    }

    pub fn is_at_rest(&self) -> bool {
        let is_done = |relay: &Relay| relay.is_at_rest(&self.postgres);
        self.relay.as_ref().is_some_and(is_done)
            && self.parked.of_state(State::Replay).next().is_none()
    }

    /// Whether the leader has something to do, or Kafka has an answer for it.
    pub fn can_go_on(&self, bounds: &Sending) -> bool {
        let Some(relay) = &self.relay else {
            return true;
        };
        if !relay.is_reading() || !relay.feeder.has_nothing() {
            let mut queues = relay.feeder.client.queues.iter().enumerate();
            let is_busy = queues
                .any(|(at, queue)| queue.first().is_some() || relay.feeder.client.may_send(at));
            return is_busy || matches!(relay.task, Task::PuttingBack(_));
        }
        let (mut polled, mut asked) = (self.clone(), self.clone());
        polled.poll(bounds);
        asked.process_parked(bounds);
        polled != *self || asked != *self
    }

    pub fn poll(&mut self, bounds: &Sending) {
        if let Some(relay) = &mut self.relay {
            relay.poll(&self.postgres, bounds.wanted, &mut self.parked, bounds);
        }
        self.tidy();
    }

    pub fn process_parked(&mut self, bounds: &Sending) {
        if let Some(relay) = &mut self.relay {
            relay.process_parked(&mut self.parked, bounds);
        }
        self.tidy();
    }
}

/// The outcome of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Taken,
    /// Taken, and the answer is lost.
    TakenUnheard,
    NotNow,
    Refused,
}
