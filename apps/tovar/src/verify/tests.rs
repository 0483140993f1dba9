//! Which differences between databases are proof, tried with readings that a test of a running
//! store cannot bring about.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use contracts::orders::{Finished, Placed};
use kernel::Event;
use uuid::{Timestamp, Uuid};

use super::{
    Outcome, Report,
    events::Surroundings,
    judge,
    order::{Order, Orders},
    reading::{Published, Reading},
};
use crate::services::SERVICES;

/// A store at rest, with readings that each test changes.
struct Store {
    readings: Vec<Reading>,
    orders: Orders,
    has_read_all: BTreeMap<&'static str, bool>,
    newer: Vec<(Uuid, String)>,
}

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

impl Store {
    fn new() -> Self {
        let reading = |service| Reading {
            service,
            at: now(),
            snapshot: String::new(),
            contradictions: Vec::new(),
            published: Vec::new(),
            parked_in_outbox: HashMap::new(),
            applied: HashMap::new(),
            parked_in_inbox: HashMap::new(),
            retried: HashMap::new(),
            orders: None,
        };
        Self {
            readings: SERVICES.into_iter().map(reading).collect(),
            orders: Orders::new(),
            has_read_all: SERVICES
                .iter()
                .map(|service| (service.name, true))
                .collect(),
            newer: Vec::new(),
        }
    }

    fn of(&mut self, service: &str) -> &mut Reading {
        let found = self
            .readings
            .iter_mut()
            .find(|reading| reading.service.name == service);
        found.unwrap()
    }

    fn publish<E: Event>(&mut self, order: Uuid, was_sent: bool) -> Uuid {
        let id = Uuid::now_v7();
        self.of(E::TOPIC).published.push(Published {
            id,
            event_type: E::TYPE.to_owned(),
            key: order.to_string(),
            position: 100,
            at: now(),
            was_sent,
            is_sent: true,
        });
        id
    }

    fn apply<E: Event>(&mut self, service: &str, event: Uuid) {
        self.of(service).applied.insert(event, E::TYPE.to_owned());
    }

    fn report(&self) -> Report {
        let surroundings = Surroundings {
            has_read_all: &self.has_read_all,
            newer: &self.newer,
        };
        judge(&self.readings, &self.orders, &surroundings, Vec::new())
    }

    /// The invariants with a finding, and whether it is a violation.
    fn found(&self) -> Vec<(u8, Outcome)> {
        let report = self.report();
        let verdicts = report
            .invariants
            .iter()
            .map(|verdict| (verdict.number, verdict.outcome));
        verdicts
            .filter(|(_, outcome)| *outcome != Outcome::Clean)
            .collect()
    }
}

/// An order that is over and whose customer was not told.
fn untold() -> Order {
    Order {
        status: Some("rejected".to_owned()),
        total: Some(5),
        money: Some("settled".to_owned()),
        ..Order::default()
    }
}

#[test]
fn what_came_between_two_snapshots_is_under_way() {
    let (mut store, order) = (Store::new(), Uuid::now_v7());
    // Billing was read after the order was placed, orders before.
    let event = Uuid::now_v7();
    store.apply::<Placed>("billing", event);
    let held = Order {
        money: Some("held".to_owned()),
        held: 5,
        ..Order::default()
    };
    store.orders.insert(order, held);
    assert_eq!(
        store.found(),
        [(3, Outcome::Violated)],
        "an order that was never placed"
    );
    store.newer.push((event, order.to_string()));
    assert_eq!(store.found(), [(3, Outcome::NotSettled)]);
}

#[test]
fn an_order_is_judged_when_its_events_have_arrived() {
    let (mut store, order) = (Store::new(), Uuid::now_v7());
    store.orders.insert(order, untold());
    let placed = store.publish::<Placed>(order, true);
    store.apply::<Placed>("billing", placed);
    let finished = store.publish::<Finished>(order, false);
    let under_way = [(8, Outcome::NotSettled), (9, Outcome::NotSettled)];
    assert_eq!(store.found(), under_way);
    store.apply::<Finished>("notifications", finished);
    assert_eq!(store.found(), [(9, Outcome::Violated)]);
    store
        .orders
        .entry(order)
        .and_modify(|order| order.notified = Some("rejected".to_owned()));
    assert_eq!(store.found(), []);
}

#[test]
fn an_event_is_lost_only_when_it_was_there_before_its_reader_was_at_the_end() {
    for (was_sent, has_read_all, expected) in [
        (true, true, Outcome::Violated),
        (true, false, Outcome::NotSettled),
        (false, true, Outcome::NotSettled),
    ] {
        let (mut store, order) = (Store::new(), Uuid::now_v7());
        store.publish::<Finished>(order, was_sent);
        store.has_read_all.insert("notifications", has_read_all);
        assert_eq!(store.found(), [(8, expected)], "{was_sent} {has_read_all}");
    }
}

#[test]
fn an_event_that_an_inbox_may_have_forgotten_is_not_called_lost() {
    let (mut store, order) = (Store::new(), Uuid::now_v7());
    store.publish::<Finished>(order, true);
    store.of("orders").published[0].at = now() - TimeDelta::hours(47);
    assert_eq!(
        store.found(),
        [(8, Outcome::Violated)],
        "every inbox remembers it"
    );
    store.of("orders").published[0].at = now() - TimeDelta::hours(48);
    assert_eq!(store.found(), []);
}

#[test]
fn an_order_whose_events_left_the_outboxes_is_judged_when_everyone_has_read_all() {
    let (mut store, order) = (Store::new(), Uuid::now_v7());
    store.orders.insert(order, untold());
    assert_eq!(store.found(), [(9, Outcome::Violated)]);
    store.has_read_all.insert("notifications", false);
    assert_eq!(store.found(), [(9, Outcome::NotSettled)]);
    store.has_read_all.clear();
    assert_eq!(
        store.found(),
        [(9, Outcome::NotSettled)],
        "Kafka did not answer"
    );
}

#[test]
fn what_was_applied_must_have_been_published_as_far_back_as_the_outbox_reaches() {
    let made = |minutes: i64| {
        let seconds = (now() + TimeDelta::minutes(minutes)).timestamp();
        Uuid::new_v7(Timestamp::from_unix_time(
            seconds.try_into().unwrap(),
            0,
            0,
            0,
        ))
    };
    let (mut store, order) = (Store::new(), Uuid::now_v7());
    let event = store.publish::<Placed>(order, true);
    store.apply::<Placed>("billing", event);
    store.apply::<Placed>("warehouse", event);
    store.apply::<Placed>("delivery", event);
    store.of("orders").published[0].at = now() + TimeDelta::hours(1);
    // The bucket may have been emptied in between.
    store.apply::<Placed>("billing", made(30));
    assert_eq!(store.found(), []);
    store.of("orders").published[0].position = 1;
    assert_eq!(
        store.found(),
        [(8, Outcome::Violated)],
        "nothing was emptied yet"
    );

    store.of("orders").published[0].position = 100;
    store.apply::<Placed>("billing", made(90));
    assert_eq!(
        store.found(),
        [(8, Outcome::Violated)],
        "after a row that is there"
    );
}
