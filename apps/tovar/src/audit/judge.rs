//! When a difference between an outbox and its topic is proof.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    history::{Entries, Entry, Fate, History, Identity},
    report::OfTopic,
    topic::{Message, Messages},
};
use crate::verify::{Finding, events::NUMBER};

pub fn judge(
    service: &'static str,
    topic: &str,
    history: &History,
    messages: &Messages,
) -> OfTopic {
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
        found: OfTopic {
            service,
            topic: topic.to_owned(),
            at: history.at,
            messages: messages.all.len(),
            retained: entries.all.len(),
            ..OfTopic::default()
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
    /// Those of which a message was met.
    events: HashSet<Uuid>,
    /// The rows of which a message was met.
    arrived: HashSet<Identity>,
    /// Of each key in its partition, the last position among first occurrences.
    furthest: HashMap<(i32, &'a str), i64>,
    partitions: HashMap<&'a str, i32>,
    found: OfTopic,
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

    /// First occurrences of a key are in the order of their positions.
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
            // Its true first occurrence may be gone.
            return;
        }
        if entry.was_put_aside && self.entries.given_up.contains(&message.key) {
            self.found.replayed_late += 1;
            return;
        }
        let what = "an event that is on the topic only after a later one of its key";
        self.violated(what, id.to_string(), about);
    }

    /// An event that is not on the topic.
    fn absent(&mut self, (id, recorded_at): Identity, entry: &Entry) {
        let about = format!(
            "{}, key {}, position {}",
            entry.event_type, entry.key, entry.position
        );
        let what = match entry.fate {
            Fate::Newer => return,
            Fate::Discarded => {
                self.found.discarded += 1;
                return;
            }
            Fate::Sent if self.may_be_gone(entry, recorded_at) => {
                self.found.only_in_outbox += 1;
                return;
            }
            Fate::Sent => {
                let what = "an event that was acknowledged and is not on the topic";
                self.violated(what, id.to_string(), about);
                return;
            }
            Fate::Waiting => "an event that waits for the relay",
            Fate::Parked => "an event that is parked",
            Fate::Replay => "an event that is being replayed",
        };
        let finding = Finding::unsettled(NUMBER, what, id.to_string(), about, recorded_at);
        self.found.not_settled.push(finding);
    }

    /// Whether Kafka may have removed it since. A key that the topic does not have may be of any
    /// partition.
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
