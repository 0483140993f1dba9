//! Which events are under way, and what is wrong with events.
//!
//! An event is under way from its commit until each service that listens to its type has it in its
//! inbox. Only one thing proves that it was lost: Kafka had it before a service was seen to have
//! read its topics to the end, and that service still does not have it in a snapshot from after
//! that.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{
    reading::{Published, PutAside, Reading, State},
    report::Finding,
};
use crate::{retained::Retained, services::topic_of};

/// The invariant.
pub const NUMBER: u8 = 8;
/// By how much an event's id may be older than its row, or a clock be wrong.
const SLACK: TimeDelta = TimeDelta::seconds(60);
/// What is older may be retained by its outbox and forgotten by an inbox.
const REMEMBERED: TimeDelta = TimeDelta::days(inbox::INBOX_DAYS_MIN as i64);

/// Why an order is not where its events will lead it.
pub struct Motion {
    pub since: DateTime<Utc>,
    pub what: String,
}

#[derive(Default)]
pub struct Events {
    pub findings: Vec<Finding>,
    /// By key, the oldest that is under way.
    moving: HashMap<String, Motion>,
    /// By key, what operators gave up.
    given_up: HashMap<String, Vec<String>>,
    /// The keys of orders whose first event is retained.
    placed: HashSet<String>,
}

/// What is known beyond the readings.
pub struct Around<'a> {
    /// Whether each service was seen to have read all of its topics before the reading.
    pub has_read_all: &'a BTreeMap<&'static str, bool>,
    /// Ids and keys of what was published while the databases were read.
    pub newer: &'a [(Uuid, String)],
}

impl Events {
    pub fn judge(readings: &[Reading], around: &Around<'_>) -> Self {
        let mut events = Self::default();
        let now = readings
            .iter()
            .map(|reading| reading.at)
            .max()
            .unwrap_or_default();
        for (id, key) in around.newer {
            events.moves(
                key,
                now,
                format!("event {id} was published while the databases were read"),
            );
        }
        for reading in readings {
            events.put_aside("the outbox", reading, &reading.refused);
            events.put_aside("the inbox", reading, &reading.parked);
            events.retried(reading);
        }
        for producer in readings {
            for event in &producer.published {
                events.follow(producer, event, readings, around);
            }
        }
        events.unpublished(readings, around);
        events
    }

    /// What keeps the order with this key from being at rest.
    pub fn motion(&self, key: &str) -> Option<&Motion> {
        self.moving.get(key)
    }

    pub fn given_up(&self, key: &str) -> Option<&Vec<String>> {
        self.given_up.get(key)
    }

    pub fn is_retained(&self, key: &str) -> bool {
        self.placed.contains(key)
    }

    fn moves(&mut self, key: &str, since: DateTime<Utc>, what: String) {
        if self.moving.get(key).is_none_or(|known| since < known.since) {
            self.moving.insert(key.to_owned(), Motion { since, what });
        }
    }

    /// What waits for an operator contradicts the invariant; what an operator had replayed is under
    /// way.
    fn put_aside(&mut self, place: &str, reading: &Reading, events: &HashMap<Uuid, PutAside>) {
        let service = reading.service.name;
        for (id, event) in events {
            let about = format!("{}, key {}, {}", event.event_type, event.key, event.reason);
            let what = match event.state {
                State::Parked => {
                    let what = format!("an event that is parked in {place} of {service}");
                    self.findings.push(Finding::violation(
                        NUMBER,
                        what.clone(),
                        id.to_string(),
                        about,
                    ));
                    what
                }
                State::Replay => {
                    let what = format!("an event that is being replayed from {place} of {service}");
                    self.findings.push(Finding::unsettled(
                        NUMBER,
                        what.clone(),
                        id.to_string(),
                        about,
                        event.at,
                    ));
                    what
                }
                State::Discarded => {
                    let given_up = format!(
                        "{} {id} was discarded in {place} of {service}",
                        event.event_type
                    );
                    self.given_up
                        .entry(event.key.clone())
                        .or_default()
                        .push(given_up);
                    continue;
                }
            };
            self.moves(&event.key, event.at, format!("{what}: {id}"));
        }
    }

    fn retried(&mut self, reading: &Reading) {
        for (id, event) in &reading.retried {
            let what = format!("an event that {} tries again", reading.service.name);
            let about = format!(
                "{}, key {}, {} attempts: {}",
                event.event_type, event.key, event.attempts, event.error
            );
            self.moves(&event.key, event.since, format!("{what}: {id}"));
            self.findings.push(Finding::unsettled(
                NUMBER,
                what,
                id.to_string(),
                about,
                event.since,
            ));
        }
    }

    /// An event from its outbox to each inbox that it is for.
    fn follow(
        &mut self,
        producer: &Reading,
        event: &Published,
        readings: &[Reading],
        around: &Around<'_>,
    ) {
        let Published {
            id,
            event_type,
            key,
            at,
            ..
        } = event;
        if event_type == <contracts::orders::Placed as kernel::Event>::TYPE {
            self.placed.insert(key.clone());
        }
        if producer.refused.contains_key(id) {
            return;
        }
        let about = format!("{event_type}, key {key}");
        if !event.is_sent {
            let what = format!(
                "an event that waits for the relay of {}",
                producer.service.name
            );
            self.moves(key, *at, format!("{what}: {id}"));
            self.findings
                .push(Finding::unsettled(NUMBER, what, id.to_string(), about, *at));
            return;
        }
        let listens =
            |reading: &&Reading| reading.service.listens_to.contains(&event_type.as_str());
        for consumer in readings.iter().filter(listens) {
            let has_it = consumer.applied.contains_key(id)
                || consumer.parked.contains_key(id)
                || consumer.retried.contains_key(id);
            if has_it || consumer.at - *at >= REMEMBERED {
                continue;
            }
            let name = consumer.service.name;
            if event.was_sent && around.has_read_all.get(name).is_some_and(|all| *all) {
                let what = format!("an event that {name} has passed over");
                self.findings.push(Finding::violation(
                    NUMBER,
                    what,
                    id.to_string(),
                    about.clone(),
                ));
            } else {
                let what = format!("an event that is under way to {name}");
                self.moves(key, *at, format!("{what}: {id}"));
                self.findings.push(Finding::unsettled(
                    NUMBER,
                    what,
                    id.to_string(),
                    about.clone(),
                    *at,
                ));
            }
        }
    }

    /// What was applied must have been published, as far back as the outbox reaches.
    fn unpublished(&mut self, readings: &[Reading], around: &Around<'_>) {
        let mut known: HashSet<Uuid> = around.newer.iter().map(|(id, _)| *id).collect();
        let mut retained: HashMap<&str, Retained> = HashMap::new();
        for producer in readings {
            let retained = retained.entry(producer.service.name).or_default();
            for event in &producer.published {
                known.insert(event.id);
                retained.add(event.position, event.at);
            }
        }
        for consumer in readings {
            for (id, event_type) in consumer
                .applied
                .iter()
                .filter(|(id, _)| !known.contains(id))
            {
                let producer = topic_of(event_type);
                let is_retained = made(*id).is_some_and(|made| {
                    let reaches = |at| retained.get(producer).is_some_and(|all| all.reaches(at));
                    reaches(made - SLACK) && reaches(made + SLACK)
                });
                if is_retained {
                    let what = format!(
                        "an event that {} applied and that {producer} did not publish",
                        consumer.service.name
                    );
                    self.findings.push(Finding::violation(
                        NUMBER,
                        what,
                        id.to_string(),
                        event_type.clone(),
                    ));
                }
            }
        }
    }
}

/// When an id was made, to the second.
fn made(id: Uuid) -> Option<DateTime<Utc>> {
    let (seconds, _) = id.get_timestamp()?.to_unix();
    DateTime::from_timestamp(seconds.try_into().ok()?, 0)
}
