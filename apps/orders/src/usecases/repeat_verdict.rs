use db::Tx;
use kernel::OrderId;

use super::{OrderError, advance::publish};
use crate::{domain::facts::Kind, state::State, store::open};

/// Publishes an order's verdict again, for participants that never got it. A participant that has
/// undone its part does nothing again.
pub async fn repeat_verdict(
    tx: &mut Tx<'_>,
    _: &State,
    order_id: &OrderId,
) -> Result<(), OrderError> {
    let (order, known) = open::lock(tx, *order_id)
        .await?
        .ok_or(OrderError::UnknownOrder)?;
    let verdict = known.get(Kind::Closed).ok_or(OrderError::NoVerdict)?;
    tracing::warn!(%order_id, "the verdict is published again");
    publish(tx, &order, verdict)
}
