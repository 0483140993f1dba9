//! Which events are under way, and which are lost or invented.
//!
//! An event is under way from its commit until each service that listens to its type has it in its
//! inbox. Only one thing proves that it was lost: Kafka had it before a service was seen to have
//! read its topics to the end, and that service still does not have it in a snapshot from after
//! that.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{
    reading::{ParkedEvent, ParkedState, Published, Reading},
    report::Finding,
};
use crate::{retained::Retained, services::topic_of};

/// The number of the invariant about events.
pub const NUMBER: u8 = 8;
/// Bounds by how much an event's id is older than its row, and the error of a clock.
const CLOCK_SLACK: TimeDelta = TimeDelta::seconds(60);
/// How long every inbox remembers an event. An outbox may retain an event that is older.
const INBOX_MEMORY: TimeDelta = TimeDelta::days(inbox::INBOX_DAYS_MIN as i64);

/// Why an order is not settled: something about it is under way.
pub struct UnderWay {
    pub since: DateTime<Utc>,
    pub what: String,
}

#[derive(Default)]
pub struct Events {
    pub findings: Vec<Finding>,
    /// By key, the oldest event that is under way.
    under_way: HashMap<String, UnderWay>,
    /// By key, the events that operators discarded.
    discarded: HashMap<String, Vec<String>>,
    /// The keys of orders whose first event is retained.
    placed: HashSet<String>,
}

/// Facts beside the readings.
pub struct Surroundings<'a> {
    /// Whether each service had read all of its topics before the databases were read.
    pub has_read_all: &'a BTreeMap<&'static str, bool>,
    /// Ids and keys of events that were published while the databases were read.
    pub newer: &'a [(Uuid, String)],
}

impl Events {
    pub fn judge(readings: &[Reading], surroundings: &Surroundings<'_>) -> Self {
        let mut events = Self::default();
        let now = readings
            .iter()
            .map(|reading| reading.at)
            .max()
            .unwrap_or_default();
        for (id, key) in surroundings.newer {
            events.mark_under_way(
                key,
                now,
                format!("event {id} was published while the databases were read"),
            );
        }
        for reading in readings {
            events.record_parked("the outbox", reading, &reading.parked_in_outbox);
            events.record_parked("the inbox", reading, &reading.parked_in_inbox);
            events.retried(reading);
        }
        for producer in readings {
            for event in &producer.published {
                events.follow(producer, event, readings, surroundings);
            }
        }
        events.unpublished(readings, surroundings);
        events
    }

    /// What is under way of the order with this key.
    pub fn under_way(&self, key: &str) -> Option<&UnderWay> {
        self.under_way.get(key)
    }

    pub fn discarded(&self, key: &str) -> Option<&Vec<String>> {
        self.discarded.get(key)
    }

    pub fn is_retained(&self, key: &str) -> bool {
        self.placed.contains(key)
    }

    fn mark_under_way(&mut self, key: &str, since: DateTime<Utc>, what: String) {
        if self
            .under_way
            .get(key)
            .is_none_or(|known| since < known.since)
        {
            self.under_way
                .insert(key.to_owned(), UnderWay { since, what });
        }
    }

    /// Records parked events: one that waits for an operator contradicts the invariant, one that is
    /// replayed is under way.
    fn record_parked(
        &mut self,
        place: &str,
        reading: &Reading,
        events: &HashMap<Uuid, ParkedEvent>,
    ) {
        let service = reading.service.name;
        for (id, event) in events {
            let about = format!("{}, key {}, {}", event.event_type, event.key, event.reason);
            let what = match event.state {
                ParkedState::Parked => {
                    let what = format!("an event that is parked in {place} of {service}");
                    self.findings.push(Finding::violation(
                        NUMBER,
                        what.clone(),
                        id.to_string(),
                        about,
                    ));
                    what
                }
                ParkedState::Replay => {
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
                ParkedState::Discarded => {
                    let discarded = format!(
                        "{} {id} was discarded in {place} of {service}",
                        event.event_type
                    );
                    self.discarded
                        .entry(event.key.clone())
                        .or_default()
                        .push(discarded);
                    continue;
                }
            };
            self.mark_under_way(&event.key, event.at, format!("{what}: {id}"));
        }
    }

    fn retried(&mut self, reading: &Reading) {
        for (id, event) in &reading.retried {
            let what = format!("an event that {} tries again", reading.service.name);
            let about = format!(
                "{}, key {}, {} attempts: {}",
                event.event_type, event.key, event.attempts, event.error
            );
            self.mark_under_way(&event.key, event.since, format!("{what}: {id}"));
            self.findings.push(Finding::unsettled(
                NUMBER,
                what,
                id.to_string(),
                about,
                event.since,
            ));
        }
    }

    /// Follows an event from its outbox to each subscribed inbox.
    fn follow(
        &mut self,
        producer: &Reading,
        event: &Published,
        readings: &[Reading],
        surroundings: &Surroundings<'_>,
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
        if producer.parked_in_outbox.contains_key(id) {
            return;
        }
        let about = format!("{event_type}, key {key}");
        if !event.is_sent {
            let what = format!(
                "an event that waits for the relay of {}",
                producer.service.name
            );
            self.mark_under_way(key, *at, format!("{what}: {id}"));
            self.findings
                .push(Finding::unsettled(NUMBER, what, id.to_string(), about, *at));
            return;
        }
        let listens =
            |reading: &&Reading| reading.service.listens_to.contains(&event_type.as_str());
        for consumer in readings.iter().filter(listens) {
            let has_it = consumer.applied.contains_key(id)
                || consumer.parked_in_inbox.contains_key(id)
                || consumer.retried.contains_key(id);
            if has_it || consumer.at - *at >= INBOX_MEMORY {
                continue;
            }
            let name = consumer.service.name;
            if event.was_sent && surroundings.has_read_all.get(name).is_some_and(|all| *all) {
                let what = format!("an event that {name} has passed over");
                self.findings.push(Finding::violation(
                    NUMBER,
                    what,
                    id.to_string(),
                    about.clone(),
                ));
            } else {
                let what = format!("an event that is under way to {name}");
                self.mark_under_way(key, *at, format!("{what}: {id}"));
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

    /// Finds events that were applied and never published, as far back as the outbox reaches.
    fn unpublished(&mut self, readings: &[Reading], surroundings: &Surroundings<'_>) {
        let mut known: HashSet<Uuid> = surroundings.newer.iter().map(|(id, _)| *id).collect();
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
                    reaches(made - CLOCK_SLACK) && reaches(made + CLOCK_SLACK)
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

/// When an id was created, to the second.
fn made(id: Uuid) -> Option<DateTime<Utc>> {
    let (seconds, _) = id.get_timestamp()?.to_unix();
    DateTime::from_timestamp(seconds.try_into().ok()?, 0)
}
