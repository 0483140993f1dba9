//! Which differences are proof, tried with readings that a test of a running store cannot bring
//! about.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{
    TopicAudit,
    history::{Entries, Entry, EntryState, History, Identity},
    judge::judge,
    topic::{Message, Messages},
};
use crate::{retained::Retained, verify::Outcome};

const TOPIC: &str = "users";

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::seconds(seconds)
}

/// An outbox and its topic, which agree until a test changes one of them.
struct Service {
    entries: Entries,
    retained: Retained,
    messages: Messages,
}

impl Service {
    /// A service with `events` sent events of key k, ten seconds apart from zero on. Earlier events
    /// have left its outbox.
    fn new(events: i64) -> (Self, Vec<Identity>) {
        let mut service = Self {
            entries: Entries::default(),
            retained: Retained::default(),
            messages: Messages::default(),
        };
        let ids = (0..events)
            .map(|nth| service.publish(100 + nth, at(nth * 10), Uuid::now_v7()))
            .collect();
        (service, ids)
    }

    fn publish(&mut self, position: i64, recorded_at: DateTime<Utc>, id: Uuid) -> Identity {
        let entry = Entry {
            key: "k".to_owned(),
            event_type: "users.registered.v1".to_owned(),
            position,
            digest: [7; 16],
            state: EntryState::Sent,
            was_parked: false,
        };
        self.entries.all.insert((id, recorded_at), entry);
        self.retained.add(position, recorded_at);
        self.send((id, recorded_at));
        (id, recorded_at)
    }

    fn send(&mut self, identity: Identity) {
        self.messages.all.push(Message {
            partition: 0,
            offset: i64::try_from(self.messages.all.len()).unwrap(),
            key: "k".to_owned(),
            event_type: "users.registered.v1".to_owned(),
            sent_at: identity.1,
            identity: Some(identity),
            digest: [7; 16],
        });
    }

    /// Removes its message, as if the topic never had it.
    fn unsend(&mut self, identity: Identity) {
        self.messages
            .all
            .retain(|message| message.identity != Some(identity));
    }

    fn entry(&mut self, identity: Identity) -> &mut Entry {
        self.entries.all.get_mut(&identity).unwrap()
    }

    fn judged(self) -> TopicAudit {
        let history = History {
            at: at(1000),
            retained: self.retained,
            topics: HashMap::from([(TOPIC.to_owned(), self.entries)]),
        };
        judge("users", TOPIC, &history, &self.messages)
    }
}

/// Whether the only violation is `what`, about this event.
fn names(found: &TopicAudit, what: &str, (id, _): Identity) -> bool {
    let [finding] = &found.violations[..] else {
        return false;
    };
    finding.what.contains(what) && finding.id == id.to_string()
}

#[test]
fn what_comes_again_counts_and_is_right() {
    let (mut service, events) = Service::new(3);
    // A relay that starts again sends from an earlier point on.
    for event in &events[1..] {
        service.send(*event);
    }
    let found = service.judged();
    assert_eq!(found.outcome(), Outcome::Clean, "{found:?}");
    assert_eq!((found.messages, found.events, found.duplicates), (5, 3, 2));
}

#[test]
fn an_event_that_was_acknowledged_and_is_not_there_is_a_gap() {
    for (state, outcome) in [
        (EntryState::Sent, Outcome::Violated),
        (EntryState::Waiting, Outcome::NotSettled),
        (EntryState::Parked, Outcome::NotSettled),
        (EntryState::Replay, Outcome::NotSettled),
        (EntryState::Discarded, Outcome::Clean),
        (EntryState::Newer, Outcome::Clean),
    ] {
        let (mut service, events) = Service::new(3);
        service.unsend(events[1]);
        service.entry(events[1]).state = state;
        let found = service.judged();
        assert_eq!(found.outcome(), outcome, "{state:?}");
        assert_eq!(
            names(&found, "not on the topic", events[1]),
            state == EntryState::Sent
        );
    }
}

#[test]
fn what_kafka_has_removed_is_no_gap() {
    let (mut service, events) = Service::new(3);
    service.unsend(events[0]);
    service.messages.gone_until.insert(0, events[0].1);
    let found = service.judged();
    assert_eq!(found.outcome(), Outcome::Clean, "{found:?}");
    assert_eq!(found.only_in_outbox, 1);

    let (mut service, events) = Service::new(3);
    service.unsend(events[1]);
    service.messages.gone_until.insert(0, events[0].1);
    assert!(
        names(&service.judged(), "not on the topic", events[1]),
        "it is newer"
    );

    let (mut service, events) = Service::new(3);
    service.unsend(events[1]);
    service.messages.gone_until.insert(1, events[2].1);
    assert!(
        names(&service.judged(), "not on the topic", events[1]),
        "its partition is whole"
    );
}

#[test]
fn an_event_that_the_outbox_would_have_was_not_committed() {
    let (mut service, events) = Service::new(3);
    service.entries.all.remove(&events[2]);
    assert!(names(
        &service.judged(),
        "the outbox does not have",
        events[2]
    ));
}

#[test]
fn what_is_older_than_the_outbox_is_only_on_the_topic() {
    let (mut service, _) = Service::new(3);
    for older in [at(-10), at(-86_400)] {
        service.send((Uuid::now_v7(), older));
    }
    let found = service.judged();
    assert_eq!(found.outcome(), Outcome::Clean, "{found:?}");
    assert_eq!(found.only_on_topic, 2);
}

#[test]
fn an_outbox_with_its_first_row_has_all() {
    let (mut service, _) = Service::new(3);
    service.publish(1, at(-20), Uuid::now_v7());
    service.send((Uuid::now_v7(), at(-10)));
    assert_eq!(service.judged().outcome(), Outcome::Violated);
}

#[test]
fn a_bucket_that_is_used_again_has_only_what_came_since() {
    let (mut service, _) = Service::new(3);
    // Six buckets of six hours: the same one, a day and a half earlier.
    let earlier = at(20 - 36 * 3600);
    service.send((Uuid::now_v7(), earlier));
    assert_eq!(service.judged().only_on_topic, 1);

    let (mut service, _) = Service::new(3);
    service.retained.add(0, at(-36 * 3600));
    service.send((Uuid::now_v7(), earlier));
    assert_eq!(
        service.judged().outcome(),
        Outcome::Violated,
        "it was not emptied"
    );
}

#[test]
fn an_event_is_on_the_topic_as_it_is_in_the_outbox() {
    let changes: [fn(&mut Entry); 3] = [
        |entry| entry.key.push('x'),
        |entry| entry.event_type.push('x'),
        |entry| entry.digest = [0; 16],
    ];
    for (change, part) in changes.into_iter().zip(["key", "type", "payload"]) {
        let (mut service, events) = Service::new(3);
        change(service.entry(events[1]));
        assert!(names(&service.judged(), part, events[1]), "{part}");
    }
}

#[test]
fn a_message_that_no_relay_wrote_is_named() {
    let (mut service, _) = Service::new(3);
    service.messages.all[1].identity = None;
    let found = service.judged();
    assert!(
        found
            .violations
            .iter()
            .any(|found| found.what.contains("no relay wrote"))
    );
}

#[test]
fn first_occurrences_are_in_the_order_of_their_key() {
    let (mut service, events) = Service::new(3);
    service.messages.all.swap(1, 2);
    assert!(names(
        &service.judged(),
        "only after a later one",
        events[1]
    ));

    let (mut service, events) = Service::new(3);
    service.messages.all.swap(1, 2);
    service.messages.all[2].key = "other".to_owned();
    service.entry(events[1]).key = "other".to_owned();
    assert_eq!(
        service.judged().outcome(),
        Outcome::Clean,
        "keys do not wait for each other"
    );

    let (mut service, events) = Service::new(3);
    service.messages.all.swap(1, 2);
    service.messages.gone_until.insert(0, events[1].1);
    assert_eq!(
        service.judged().outcome(),
        Outcome::Clean,
        "it may have come before"
    );
}

#[test]
fn what_is_published_again_is_no_event_of_its_own() {
    let (mut service, events) = Service::new(3);
    service.publish(103, at(100), events[0].0);
    let found = service.judged();
    assert_eq!(found.outcome(), Outcome::Clean, "{found:?}");
    assert_eq!((found.retained, found.events, found.duplicates), (4, 3, 1));

    // Only the topic has its first message.
    let (mut service, events) = Service::new(3);
    let again = service.publish(103, at(86_400), events[0].0);
    service.entries.all.retain(|identity, _| *identity == again);
    service.retained = Retained::default();
    service.retained.add(103, again.1);
    let found = service.judged();
    assert_eq!(found.outcome(), Outcome::Clean, "{found:?}");
    assert_eq!((found.only_on_topic, found.duplicates), (3, 1));
}

#[test]
fn what_was_given_up_and_then_sent_may_come_late() {
    for (is_discarded, outcome) in [(true, Outcome::Clean), (false, Outcome::Violated)] {
        let (mut service, events) = Service::new(3);
        service.unsend(events[0]);
        service.send(events[0]);
        service.entry(events[0]).was_parked = true;
        if is_discarded {
            service.entries.discarded_keys.insert("k".to_owned());
        }
        let found = service.judged();
        assert_eq!(found.outcome(), outcome);
        assert_eq!(found.replayed_late, usize::from(is_discarded));
    }
}
