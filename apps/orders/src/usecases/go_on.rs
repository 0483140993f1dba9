use contracts::orders::{Closed, Finished, StopRequested};
use db::Tx;
use kernel::OrderId;

use super::OrderError;
use crate::{
    State,
    domain::{
        deadline::deadline,
        decide::decide,
        facts::{Fact, Facts, Kind},
        status::Status,
    },
    store::{
        facts::Learnt,
        open::{self, Derived, Whose},
    },
};

/// Adds a new fact to those of a locked order, and all that follows from it; tells what orders
/// itself decided, and saves what is derived.
pub async fn go_on(
    tx: &mut Tx<'_>,
    state: &State,
    order: Whose,
    mut known: Facts,
    fact: Fact,
) -> Result<(), OrderError> {
    let now = tx.now().await?;
    let before = Status::of(&known);
    let mut next = Some(fact);
    let mut news = Vec::new();
    while let Some(fact) = next {
        tell(tx, &order, &fact)?;
        let number = i32::try_from(known.count() + 1).expect("there are fewer kinds of facts");
        let learnt = Learnt {
            number,
            fact,
            at: now,
        };
        known.add(learnt.fact.clone(), now);
        news.push(learnt);
        next = decide(&known);
    }
    if let Some(placed_at) = known.at(Kind::Placed) {
        let (metrics, after) = (state.metrics.clone(), Status::of(&known));
        tx.when_committed(move || metrics.went_on(placed_at, before, after, now));
    }
    save(tx, state, order.order_id, &known, news);
    Ok(())
}

/// Saves what is new of an order, and what follows from all that is known of it.
pub fn save(tx: &mut Tx<'_>, state: &State, id: OrderId, known: &Facts, news: Vec<Learnt>) {
    let reason = known.iter().find_map(|(fact, _)| match fact {
        Fact::Closed { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    let derived = Derived {
        status: Status::of(known),
        reason,
        deadline: deadline(known, &state.patience),
    };
    open::save(tx, id, news, derived);
}

/// What the others tell is an event already.
pub fn tell(tx: &mut Tx<'_>, order: &Whose, fact: &Fact) -> Result<(), OrderError> {
    let Whose {
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
