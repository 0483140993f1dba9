use contracts::orders::StopReason;
use db::Tx;
use kernel::OrderId;

use super::{OrderError, go_on::go_on, view_order::TheirOrder};
use crate::{
    State,
    domain::{facts::Facts, stop},
    store::open::{self, Whose},
};

/// A customer cancels an order of theirs. It is a wish: the warehouse says whether it comes in
/// time.
pub async fn cancel_order(
    tx: &mut Tx<'_>,
    state: &State,
    wish: &TheirOrder,
) -> Result<(), OrderError> {
    let (order, known) = open::lock(tx, wish.order_id)
        .await?
        .filter(|(order, _)| order.user_id == wish.owner)
        .ok_or(OrderError::UnknownOrder)?;
    request(tx, state, order, known, StopReason::Customer).await
}

/// A manager stops anybody's order.
pub async fn stop_order(
    tx: &mut Tx<'_>,
    state: &State,
    order_id: &OrderId,
) -> Result<(), OrderError> {
    let (order, known) = open::lock(tx, *order_id)
        .await?
        .ok_or(OrderError::UnknownOrder)?;
    request(tx, state, order, known, StopReason::Operator).await
}

/// Asks for a stop of a locked order, unless one is under way.
pub async fn request(
    tx: &mut Tx<'_>,
    state: &State,
    order: Whose,
    known: Facts,
    reason: StopReason,
) -> Result<(), OrderError> {
    match stop::stop(&known, reason)? {
        Some(fact) => go_on(tx, state, order, known, fact).await,
        None => Ok(()),
    }
}
