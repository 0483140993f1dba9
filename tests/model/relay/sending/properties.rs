//! What must hold: always, and at rest.

use stateright::Property;

use super::{Rule, Sending, parked::State, relay::SendMode, world::World};
use crate::relay::{
    postgres::{self, Event, Key, Row},
    world::counts,
};

pub const LOST: &str = "what counts as acknowledged is in the topic, or put aside";
pub const OVERTAKEN: &str = "no event is in the topic before an earlier one of its key";
pub const DISCARDED: &str = "what was discarded is not sent";

pub fn all(sending: &Sending) -> Vec<Property<Sending>> {
    let mut all = vec![
        Property::always(LOST, |_, world: &World| is_true(world)),
        Property::always(
            "at rest no committed event is missing",
            |_, world: &World| {
                !world.is_at_rest() || world.postgres.committed().all(|row| is_kept(world, row))
            },
        ),
        Property::always(
            "a relay that cannot go on is done",
            |sending: &Sending, world: &World| world.can_go_on(sending) || world.is_at_rest(),
        ),
        Property::always("no event is sent that is not committed", |_, world| {
            is_committed(world)
        }),
        Property::always(OVERTAKEN, |_, world: &World| is_in_order(world)),
        Property::always(DISCARDED, |_, world: &World| !world.has_sent_discarded),
    ];
    all.extend(cases(sending));
    all
}

/// Every checked case must also occur.
fn cases(sending: &Sending) -> Vec<Property<Sending>> {
    let mut cases = vec![Property::sometimes(
        "all is sent, and saved",
        |_, world: &World| {
            let is_saved = |relay: &super::relay::Relay| relay.progress.unsaved().is_none();
            let mut all = world.postgres.transactions.iter();
            let is_sent = all.all(|one| one.rows.iter().any(|row| world.has(row.event)));
            is_sent && world.is_at_rest() && world.relay.as_ref().is_some_and(is_saved)
        },
    )];
    if sending.keeps(Rule::OpenPartitions) {
        cases.push(Property::sometimes(
            "an event waits until the first one of its partition is acknowledged",
            |_, world: &World| {
                world
                    .senders()
                    .any(|(_, feeder)| feeder.held().next().is_some())
            },
        ));
    }
    if sending.left.refusals > 0 && sending.stores.iter().any(|store| store.len() > 3) {
        cases.push(Property::sometimes(
            "an event is refused since one before it was",
            |_, world: &World| {
                world
                    .senders()
                    .any(|(_, feeder)| feeder.client.producer.epoch > 0)
            },
        ));
    }
    if sending.left.losses > 0 {
        cases.push(Property::sometimes(
            "two relays' requests are under way",
            |_, world: &World| {
                let mut all = world.senders();
                all.by_ref()
                    .filter(|(_, feeder)| !feeder.has_nothing())
                    .count()
                    > 1
            },
        ));
    }
    if sending.has_too_large {
        cases.extend(cases_of_parking(sending));
    }
    cases
}

fn cases_of_parking(sending: &Sending) -> Vec<Property<Sending>> {
    let mut cases = vec![
        Property::sometimes("events are sent one by one", |_, world: &World| {
            let is_careful = |mode| matches!(mode, SendMode::OneByOne { .. });
            world
                .relay
                .as_ref()
                .is_some_and(|relay| is_careful(relay.mode))
        }),
        Property::sometimes("an event is parked behind another", |_, world: &World| {
            world.parked.of_state(State::Parked).count() > 1
        }),
    ];
    if sending.left.operations > 0 {
        cases.push(Property::sometimes(
            "a parked event is sent, and what was behind it",
            |_, world: &World| world.parked.of_state(State::Sent).count() > 1,
        ));
    }
    if sending.left.operations > 0 {
        cases.push(Property::sometimes(
            "an event overtakes one that was discarded",
            |_, world: &World| {
                let mut all = world.parked.of_state(State::Discarded);
                all.any(|row| {
                    let mut later = world
                        .postgres
                        .committed()
                        .filter(|other| other.position > row.position);
                    later.any(|other| other.event.key == row.event.key && world.has(other.event))
                })
            },
        ));
    }
    cases
}

/// Whether an event is where it should be in the end.
fn is_kept(world: &World, row: &Row) -> bool {
    world.has(row.event) || world.is_parked(row)
}

fn is_true(world: &World) -> bool {
    let cursor = &world.postgres.saved;
    let mut acknowledged = world.postgres.committed().filter(|row| counts(cursor, row));
    let mut sent = world.parked.of_state(State::Sent);
    acknowledged.all(|row| is_kept(world, row)) && sent.all(|row| world.has(row.event))
}

fn is_committed(world: &World) -> bool {
    let is_committed = |event: &Event| {
        world.postgres.transactions[usize::from(event.of)].state == postgres::State::Committed
    };
    let sent = world
        .senders()
        .flat_map(|(_, feeder)| feeder.messages().map(|message| &message.event));
    world.topic.iter().flatten().chain(sent).all(is_committed)
}

/// Whether the topic has the first so many of each key, in their order. What was ever discarded is
/// free to come late or never.
fn is_in_order(world: &World) -> bool {
    Key::ALL.into_iter().all(|key| {
        let mut rows: Vec<&Row> = world
            .postgres
            .committed()
            .filter(|row| row.event.key == key)
            .collect();
        rows.sort_unstable_by_key(|row| row.position);
        let is_kept = |event: &Event| {
            let mut discarded = rows
                .iter()
                .filter(|row| world.discarded.contains(&row.position));
            !discarded.any(|row| row.event == *event)
        };
        let wanted = rows.iter().map(|row| row.event).filter(is_kept);
        let mut found = world.topic[key as usize].iter().copied().filter(is_kept);
        found
            .by_ref()
            .zip(wanted)
            .all(|(found, wanted)| found == wanted)
    })
}
