use db::Tx;
use kernel::OrderId;

use super::{OrderError, advance::advance};
use crate::{domain::facts::Fact, state::State, store::open};

/// Adds the fact that an event brought to its order, and every fact that follows from it. A fact
/// that is known already changes nothing.
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
        tracing::info!(%order_id, kind = ?fact.kind(), "the fact is known already");
        return Ok(());
    }
    advance(tx, state, order, known, fact).await
}
