//! Every way that an outbox can be relayed: a model checker drives the relay's own decisions, `Progress` and `Acks`, against
//! PostgreSQL and Kafka in small. See docs/relay-model.md.

mod log;
mod model;
mod postgres;
mod properties;
#[expect(clippy::module_inception, reason = "a relay among the parts of its model")]
mod relay;
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
            let from = store
                .last()
                .map_or(0, |last| KINDS.iter().position(|kind| kind == last).unwrap());
            KINDS[from..]
                .iter()
                .map(move |kind| [store.as_slice(), &[*kind]].concat())
        };
        stores = stores.into_iter().flat_map(longer).collect();
    }
    stores
}

fn outbox() -> Outbox {
    Outbox {
        stores: stores(3),
        wanted: 1,
        losses: 0,
        crashes: 0,
        turns: 0,
    }
}

#[test]
fn nothing_is_lost_invented_or_overtaken_whatever_commits_late_or_never() {
    check("relay: three transactions", &outbox());
}

#[test]
fn nothing_is_lost_or_overtaken_when_relays_are_killed_or_frozen() {
    let bounds = Outbox {
        losses: 1,
        ..outbox()
    };
    check("relay: a relay is lost", &bounds);
}
