use db::Tx;
use kernel::OrderId;

use super::{OrderError, go_on::go_on};
use crate::{State, domain::facts::Fact, store::open};

/// Adds what was heard of an order to its facts, and does what follows.
pub async fn learn_fact(
    tx: &mut Tx<'_>,
    state: &State,
    order_id: OrderId,
    fact: Fact,
) -> Result<(), OrderError> {
    let (order, known) = open::lock(tx, order_id)
        .await?
        .ok_or(OrderError::UnknownOrder)?;
    if known.has(fact.kind()) {
        tracing::info!(%order_id, kind = ?fact.kind(), "is known already");
        return Ok(());
    }
    go_on(tx, state, order, known, fact).await
}
