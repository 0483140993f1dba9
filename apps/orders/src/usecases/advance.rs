use contracts::orders::{Closed, Finished, StopRequested};
use db::Tx;
use kernel::OrderId;

use super::OrderError;
use crate::{
    domain::{
        deadline::deadline,
        decide::decide,
        facts::{Fact, Facts, Kind},
        status::Status,
    },
    state::State,
    store::{
        facts::NumberedFact,
        open::{self, Derived, OrderParty},
    },
};

/// Adds a new fact to a locked order, and every fact that follows from it. Publishes those that
/// orders decided, and saves what is derived from all of them.
pub async fn advance(
    tx: &mut Tx<'_>,
    state: &State,
    order: OrderParty,
    mut known: Facts,
    fact: Fact,
) -> Result<(), OrderError> {
    let now = tx.now().await?;
    let before = Status::of(&known);
    let mut next = Some(fact);
    let mut new_facts = Vec::new();
    while let Some(fact) = next {
        publish(tx, &order, &fact)?;
        let number = i32::try_from(known.count() + 1).expect("there are fewer kinds of facts");
        known.add(fact.clone(), now);
        new_facts.push(NumberedFact {
            number,
            fact,
            at: now,
        });
        next = decide(&known);
    }
    if let Some(placed_at) = known.at(Kind::Placed) {
        let (metrics, after) = (state.metrics.clone(), Status::of(&known));
        tx.when_committed(move || metrics.advanced(placed_at, before, after, now));
    }
    save(tx, state, order.order_id, &known, new_facts);
    Ok(())
}

/// Saves new facts of an order, and what is derived from all that are known of it.
pub fn save(
    tx: &mut Tx<'_>,
    state: &State,
    id: OrderId,
    known: &Facts,
    new_facts: Vec<NumberedFact>,
) {
    let reason = known.iter().find_map(|(fact, _)| match fact {
        Fact::Closed { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    let derived = Derived {
        status: Status::of(known),
        reason,
        deadline: deadline(known, &state.time_limits),
    };
    open::save(tx, id, new_facts, derived);
}

/// Publishes a fact that orders decided. Any other fact came as an event, which its service has
/// published.
pub fn publish(tx: &mut Tx<'_>, order: &OrderParty, fact: &Fact) -> Result<(), OrderError> {
    let OrderParty {
        order_id,
        user_id,
        zone,
    } = order.clone();
    match fact.clone() {
        Fact::StopRequested { reason } => {
            let stop = StopRequested {
                order_id,
                user_id,
                reason,
                zone: Some(zone),
            };
            outbox::publish(tx, &stop)?;
        }
        Fact::Closed { outcome, reason } => {
            let closed = Closed {
                order_id,
                user_id,
                outcome,
                reason,
                zone: Some(zone),
            };
            outbox::publish(tx, &closed)?;
        }
        Fact::Finished { outcome, reason } => {
            let finished = Finished {
                order_id,
                user_id,
                outcome,
                reason,
            };
            outbox::publish(tx, &finished)?;
        }
        _ => {}
    }
    Ok(())
}
