//! Compares an outbox with its topic, and says which differences prove a fault.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    history::{Entries, Entry, EntryState, History, Identity},
    report::TopicAudit,
    topic::{Message, Messages},
};
use crate::verify::{Finding, events::NUMBER};

pub fn judge(
    service: &'static str,
    topic: &str,
    history: &History,
    messages: &Messages,
) -> TopicAudit {
    let nothing = Entries::default();
    let entries = history.topics.get(topic).unwrap_or(&nothing);
    let mut judge = Judge {
        history,
        entries,
        messages,
        events: HashSet::new(),
        arrived: HashSet::new(),
        furthest: HashMap::new(),
        partitions: HashMap::new(),
        found: TopicAudit {
            service,
            topic: topic.to_owned(),
            at: history.at,
            messages: messages.all.len(),
            retained: entries.all.len(),
            ..TopicAudit::default()
        },
    };
    for message in &messages.all {
        judge.message(message);
    }
    for (identity, entry) in &entries.all {
        if !judge.arrived.contains(identity) {
            judge.absent(*identity, entry);
        }
    }
    judge.found.events = judge.events.len();
    judge.found.sort();
    judge.found
}

struct Judge<'a> {
    history: &'a History,
    entries: &'a Entries,
    messages: &'a Messages,
    /// Events of which a message was read.
    events: HashSet<Uuid>,
    /// Rows of which a message was read.
    arrived: HashSet<Identity>,
    /// For each partition and key, the highest position among the first messages of events.
    furthest: HashMap<(i32, &'a str), i64>,
    partitions: HashMap<&'a str, i32>,
    found: TopicAudit,
}

impl<'a> Judge<'a> {
    fn message(&mut self, message: &'a Message) {
        let about = format!(
            "{}, key {}, partition {}, offset {}",
            message.event_type, message.key, message.partition, message.offset
        );
        let Some(identity) = message.identity else {
            self.violated(
                "a message on the topic that no relay wrote",
                "-".to_owned(),
                about,
            );
            return;
        };
        let (id, recorded_at) = identity;
        self.partitions.insert(&message.key, message.partition);
        let is_first = self.events.insert(id);
        self.found.duplicates += usize::from(!is_first);
        let Some(entry) = self.entries.all.get(&identity) else {
            if self.history.retained.reaches(recorded_at) {
                let what = "an event on the topic that the outbox does not have";
                self.violated(what, id.to_string(), about);
            } else {
                self.found.only_on_topic += usize::from(is_first);
            }
            return;
        };
        self.arrived.insert(identity);
        let differs = [
            ("key", entry.key != message.key),
            ("type", entry.event_type != message.event_type),
            ("payload", entry.digest != message.digest),
        ];
        for (part, _) in differs.iter().filter(|(_, differs)| *differs) {
            let what = format!("an event whose {part} on the topic is not that of the outbox");
            self.violated(what, id.to_string(), about.clone());
        }
        if is_first {
            self.first(message, entry, identity, about);
        }
    }

    /// Checks that the first messages of a key's events are in the order of their positions.
    fn first(
        &mut self,
        message: &'a Message,
        entry: &Entry,
        (id, recorded_at): Identity,
        about: String,
    ) {
        let furthest = self.furthest.entry((message.partition, &message.key));
        let furthest = furthest.or_insert(entry.position);
        if entry.position >= *furthest {
            *furthest = entry.position;
            return;
        }
        let gone = self.messages.gone_until.get(&message.partition);
        if gone.is_some_and(|until| recorded_at <= *until) {
            // Kafka may have removed its first message.
            return;
        }
        if entry.was_parked && self.entries.discarded_keys.contains(&message.key) {
            self.found.replayed_late += 1;
            return;
        }
        let what = "an event that is on the topic only after a later one of its key";
        self.violated(what, id.to_string(), about);
    }

    /// Judges an event that is not on the topic.
    fn absent(&mut self, (id, recorded_at): Identity, entry: &Entry) {
        let about = format!(
            "{}, key {}, position {}",
            entry.event_type, entry.key, entry.position
        );
        let what = match entry.state {
            EntryState::Newer => return,
            EntryState::Discarded => {
                self.found.discarded += 1;
                return;
            }
            EntryState::Sent if self.may_be_gone(entry, recorded_at) => {
                self.found.only_in_outbox += 1;
                return;
            }
            EntryState::Sent => {
                let what = "an event that was acknowledged and is not on the topic";
                self.violated(what, id.to_string(), about);
                return;
            }
            EntryState::Waiting => "an event that waits for the relay",
            EntryState::Parked => "an event that is parked",
            EntryState::Replay => "an event that is being replayed",
        };
        let finding = Finding::unsettled(NUMBER, what, id.to_string(), about, recorded_at);
        self.found.not_settled.push(finding);
    }

    /// Whether Kafka may have removed its message. A key that the topic does not have may belong to
    /// any partition.
    fn may_be_gone(&self, entry: &Entry, recorded_at: DateTime<Utc>) -> bool {
        let gone = &self.messages.gone_until;
        match self.partitions.get(entry.key.as_str()) {
            Some(partition) => gone
                .get(partition)
                .is_some_and(|until| recorded_at <= *until),
            None => gone.values().any(|until| recorded_at <= *until),
        }
    }

    fn violated(&mut self, what: impl Into<String>, id: String, about: String) {
        self.found
            .violations
            .push(Finding::violation(NUMBER, what, id, about));
    }
}
