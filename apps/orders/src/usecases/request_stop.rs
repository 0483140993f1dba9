use contracts::orders::StopReason;
use db::Tx;
use kernel::OrderId;

use super::{OrderError, advance::advance, view_order::OwnedOrder};
use crate::{
    domain::{facts::Facts, stop},
    state::State,
    store::open::{self, OrderParty},
};

/// A customer cancels an order of theirs. It is a request: the warehouse decides whether it comes
/// in time.
pub async fn cancel_order(
    tx: &mut Tx<'_>,
    state: &State,
    command: &OwnedOrder,
) -> Result<(), OrderError> {
    let (order, known) = open::lock(tx, command.order_id)
        .await?
        .filter(|(order, _)| order.user_id == command.owner)
        .ok_or(OrderError::UnknownOrder)?;
    request(tx, state, order, known, StopReason::Customer).await
}

/// A manager stops the order of any customer.
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

/// Requests the stop of a locked order, unless one is under way.
pub async fn request(
    tx: &mut Tx<'_>,
    state: &State,
    order: OrderParty,
    known: Facts,
    reason: StopReason,
) -> Result<(), OrderError> {
    match stop::stop(&known, reason)? {
        Some(fact) => advance(tx, state, order, known, fact).await,
        None => Ok(()),
    }
}
