use db::Tx;
use kernel::OrderId;

use super::{OrderError, go_on::tell};
use crate::{State, domain::facts::Kind, store::open};

/// Tells an order's verdict anew, for participants that never got it. One that has undone what it
/// did for the order does nothing again.
pub async fn repeat_verdict(
    tx: &mut Tx<'_>,
    _: &State,
    order_id: &OrderId,
) -> Result<(), OrderError> {
    let (order, known) = open::lock(tx, *order_id)
        .await?
        .ok_or(OrderError::UnknownOrder)?;
    let verdict = known.get(Kind::Closed).ok_or(OrderError::NoVerdict)?;
    tracing::warn!(%order_id, "the verdict is told anew");
    tell(tx, &order, verdict)
}
