use contracts::orders::{Closed, Finished};
use db::Tx;
use kernel::{OrderId, UserId};

use super::OrderError;
use crate::{
    State,
    domain::{deadline::deadline, decide::decide, facts::Fact, status::Status},
    store::{facts, orders},
};

/// Adds what was heard of an order to its facts, and does what follows.
pub async fn learn_fact(
    tx: &mut Tx<'_>,
    state: &State,
    order_id: OrderId,
    fact: Fact,
) -> Result<(), OrderError> {
    let user_id = orders::lock(tx, order_id)
        .await?
        .ok_or(OrderError::UnknownOrder)?;
    let mut known = facts::of(tx, order_id).await?;
    let now = state.clock.now();
    if !known.add(fact.clone(), now) {
        tracing::info!(%order_id, kind = ?fact.kind(), "is known already");
        return Ok(());
    }
    facts::add(tx, order_id, &fact, now).await?;
    while let Some(next) = decide(&known) {
        tell(tx, order_id, user_id, &next).await?;
        facts::add(tx, order_id, &next, now).await?;
        known.add(next, now);
    }
    let reason = known.iter().find_map(|(fact, _)| match fact {
        Fact::Closed { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    let deadline = deadline(&known, &state.patience);
    Ok(orders::save_derived(tx, order_id, Status::of(&known), reason.as_deref(), deadline).await?)
}

async fn tell(tx: &mut Tx<'_>, order_id: OrderId, user_id: UserId, decided: &Fact) -> Result<(), OrderError> {
    match decided.clone() {
        Fact::Closed { outcome, reason } => {
            outbox::publish(
                tx,
                &Closed {
                    order_id,
                    user_id,
                    outcome,
                    reason,
                },
            )
            .await?;
        }
        Fact::Finished { outcome, reason } => {
            outbox::publish(
                tx,
                &Finished {
                    order_id,
                    user_id,
                    outcome,
                    reason,
                },
            )
            .await?;
        }
        other => unreachable!("only verdicts and ends are decided here, not {other:?}"),
    }
    Ok(())
}
