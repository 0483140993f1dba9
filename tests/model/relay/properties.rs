//! What must hold: always, and at rest.

use stateright::Property;

use super::{
    model::Outbox,
    postgres::{Event, State},
    world::{World, counts},
};

pub fn all(outbox: &Outbox) -> Vec<Property<Outbox>> {
    let mut all = vec![
        Property::always(
            "what counts as acknowledged is in the topic",
            |_, world: &World| is_true(world),
        ),
        Property::always(
            "at rest no committed event is missing",
            |_, world: &World| {
                !world.is_at_rest() || world.postgres.committed().all(|row| world.has(row.event))
            },
        ),
        Property::always(
            "a relay that finds nothing more is done",
            |outbox: &Outbox, world: &World| !world.is_idle(outbox.wanted) || world.is_at_rest(),
        ),
        Property::always("no event is sent that is not committed", |_, world| {
            is_committed(world)
        }),
        Property::always(
            "first occurrences are in the order of their key",
            |_, world: &World| is_in_order(world),
        ),
        Property::always("what was removed is in the topic", |_, world: &World| {
            let mut removed = world.postgres.committed().filter(|row| !row.is_there);
            removed.all(|row| world.has(row.event))
        }),
        Property::always(
            "a saved cursor steps back only in a crash",
            |_, world: &World| !world.has_stepped_back,
        ),
    ];
    all.extend(cases(outbox));
    all
}

/// Every checked case must also occur.
fn cases(outbox: &Outbox) -> Vec<Property<Outbox>> {
    let mut cases = vec![
        Property::sometimes("all is sent, and saved", |_, world: &World| {
            let all = &world.postgres.transactions;
            let is_done = world.is_at_rest() && all.iter().all(|one| one.state == State::Committed);
            is_done
                && world
                    .relay
                    .as_ref()
                    .is_some_and(|relay| relay.progress.unsaved().is_none())
        }),
        Property::sometimes(
            "nobody waits for an open transaction",
            |_, world: &World| {
                let open = world
                    .postgres
                    .transactions
                    .iter()
                    .filter(|transaction| transaction.state == State::Open);
                let lowest = open
                    .flat_map(|open| &open.rows)
                    .map(|row| row.position)
                    .min();
                lowest.is_some_and(|lowest| {
                    let mut later = world
                        .postgres
                        .committed()
                        .filter(|row| row.position > lowest);
                    later.any(|row| world.has(row.event))
                })
            },
        ),
        Property::sometimes("a difference is read page by page", |_, world: &World| {
            let cursor = &world.postgres.saved;
            cursor.target.is_some_and(|(_, position)| position > 0)
        }),
    ];
    if outbox.losses > 0 {
        cases.push(Property::sometimes(
            "an event is sent again",
            |_, world: &World| {
                let sent = world.relay.iter().flat_map(|relay| &relay.in_flight);
                sent.into_iter()
                    .any(|sent| !sent.is_written && world.has(sent.event))
            },
        ));
        cases.push(Property::sometimes(
            "two relays' messages are under way",
            |_, world: &World| {
                let is_sending = |relay: &super::relay::Relay| !relay.in_flight.is_empty();
                world.relay.as_ref().is_some_and(is_sending) && !world.adrift.is_empty()
            },
        ));
    }
    if outbox.crashes > 0 {
        cases.push(Property::sometimes(
            "a crash has an id used again",
            |_, world: &World| {
                let all = &world.postgres.transactions;
                let has = |state, xid| {
                    all.iter()
                        .any(|other| (other.state, other.xid) == (state, xid))
                };
                all.iter()
                    .any(|one| one.state == State::Committed && has(State::Aborted, one.xid))
            },
        ));
    }
    if outbox.turns > 0 {
        cases.push(Property::sometimes(
            "a bucket is emptied",
            |_, world: &World| world.postgres.committed().any(|row| !row.is_there),
        ));
    }
    cases
}

fn is_true(world: &World) -> bool {
    [&world.postgres.saved, &world.postgres.saved_on_disk]
        .into_iter()
        .all(|cursor| {
            let mut acknowledged = world.postgres.committed().filter(|row| counts(cursor, row));
            acknowledged.all(|row| world.has(row.event))
        })
}

fn is_committed(world: &World) -> bool {
    let is_committed = |event: &Event| {
        world.postgres.transactions[usize::from(event.of)].state == State::Committed
    };
    let in_flight = world.relay.iter().flat_map(|relay| &relay.in_flight);
    world.topic.iter().flatten().all(is_committed)
        && in_flight.into_iter().all(|sent| is_committed(&sent.event))
}

fn is_in_order(world: &World) -> bool {
    let position = |event: &Event| {
        let rows = &world.postgres.transactions[usize::from(event.of)].rows;
        rows.get(usize::from(event.nth)).map(|row| row.position)
    };
    world
        .topic
        .iter()
        .all(|first| first.is_sorted_by_key(position))
}
