//! Every way that an outbox can be relayed: a model checker drives the relay's own decisions,
//! `Progress` and `Acks`, against PostgreSQL and Kafka in small. See docs/relay-model.md.

mod log;
mod model;
mod postgres;
mod properties;
mod queries;
#[expect(
    clippy::module_inception,
    reason = "a relay among the parts of its model"
)]
mod relay;
mod sending;
mod world;

use self::{
    model::Outbox,
    postgres::Key::{self, A, B},
};
use crate::report::check;

/// The transactions that there may be: of one key, of two, of one twice.
const KINDS: [&[Key]; 4] = [&[A], &[B], &[A, B], &[B, B]];

/// Every choice of so many transactions, in whatever order they then begin.
fn stores(transactions: usize) -> Vec<Vec<&'static [Key]>> {
    let mut stores = vec![Vec::new()];
    for _ in 0..transactions {
        let longer = |store: Vec<&'static [Key]>| {
            let from = store.last().map_or(0, |last| {
                KINDS.iter().position(|kind| kind == last).unwrap()
            });
            KINDS[from..]
                .iter()
                .map(move |kind| [store.as_slice(), &[*kind]].concat())
        };
        stores = stores.into_iter().flat_map(longer).collect();
    }
    stores
}

/// Three transactions, rows read by two, and nothing else happens.
fn outbox() -> Outbox {
    Outbox {
        stores: stores(3),
        wanted: 2,
        losses: 0,
        crashes: 0,
        turns: 0,
    }
}

#[test]
fn nothing_is_lost_invented_or_overtaken_whatever_commits_late_or_never() {
    let bounds = Outbox {
        wanted: 1,
        ..outbox()
    };
    check("relay: three transactions, row by row", &bounds);
}

#[test]
fn nothing_is_lost_or_overtaken_when_a_relay_is_killed_or_frozen() {
    let bounds = Outbox {
        losses: 1,
        ..outbox()
    };
    check("relay: three transactions, a relay is lost", &bounds);
}

#[test]
fn nothing_is_lost_when_postgresql_crashes_and_gives_ids_again() {
    let bounds = Outbox {
        crashes: 1,
        ..outbox()
    };
    check("relay: three transactions, a crash", &bounds);
}

#[test]
fn no_bucket_is_emptied_before_all_of_it_is_acknowledged() {
    let bounds = Outbox {
        turns: 1,
        ..outbox()
    };
    check("relay: three transactions, a bucket emptied", &bounds);
}

#[test]
fn two_transactions_are_relayed_whatever_happens_together() {
    let bounds = Outbox {
        stores: stores(2),
        wanted: 1,
        losses: 1,
        crashes: 1,
        turns: 1,
    };
    check("relay: two transactions, one of each", &bounds);
}

#[test]
#[ignore = "takes minutes"]
fn three_transactions_are_relayed_when_two_things_go_wrong() {
    for (wanted, losses, crashes, turns) in [
        (1, 1, 0, 0),
        (1, 0, 0, 1),
        (2, 1, 1, 0),
        (2, 0, 2, 0),
        (2, 1, 0, 1),
    ] {
        let bounds = Outbox {
            wanted,
            losses,
            crashes,
            turns,
            ..outbox()
        };
        let name = format!(
            "relay: three transactions, rows by {wanted}, {losses} lost, {crashes} crashes, \
             {turns} emptied"
        );
        check(&name, &bounds);
    }
}
