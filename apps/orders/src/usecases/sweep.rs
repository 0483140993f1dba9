use contracts::orders::StopReason;
use db::{Db, DbError, Tx};
use kernel::{OrderId, cause_chain};

use super::{OrderError, advance, request_stop};
use crate::{
    domain::{
        attention::{Overdue, overdue},
        status::Status,
    },
    metrics::OpenOrders,
    state::State,
    store::{open, orders},
};

/// Bounds the orders of one sweep, so that it ends soon; the next sweep finds the others.
const ORDERS_PER_SWEEP: i64 = 100;

/// Deals with the orders that are late, each in its own transaction, and returns how many there
/// were. An order that fails is tried again at the next sweep, and holds up no other.
pub async fn sweep(db: &Db, state: &State) -> Result<usize, DbError> {
    let late = db
        .transaction("orders.late", async |tx| {
            orders::late(tx, ORDERS_PER_SWEEP).await
        })
        .await?;
    for order_id in &late {
        let done = db
            .transaction("orders.deal_with_late", async |tx| {
                deal_with(tx, state, *order_id).await
            })
            .await;
        if let Err(error) = done {
            tracing::error!(
                %order_id,
                error = cause_chain(&error),
                "a late order was not dealt with"
            );
        }
    }
    Ok(late.len())
}

/// Stops a late order, or asks for attention. It does nothing if another replica was faster, or if
/// the order is late no more.
async fn deal_with(tx: &mut Tx<'_>, state: &State, order_id: OrderId) -> Result<(), OrderError> {
    if !orders::lock_late(tx, order_id).await? {
        return Ok(());
    }
    let Some((order, known)) = open::lock(tx, order_id).await? else {
        return Ok(());
    };
    let status = Status::of(&known);
    match overdue(status) {
        Some(Overdue::Stop) => {
            tracing::warn!(%order_id, status = status.as_str(), "an order is late; it is stopped");
            request_stop::request(tx, state, order, known, StopReason::Deadline).await
        }
        Some(Overdue::Ask(attention)) => {
            tracing::error!(
                %order_id,
                status = status.as_str(),
                attention = attention.as_str(),
                "an order needs attention"
            );
            Ok(orders::ask_for_attention(tx, order_id, attention).await?)
        }
        None => {
            advance::save(tx, state, order_id, &known, Vec::new());
            Ok(())
        }
    }
}

/// Counts the orders that are under way, for the metrics.
pub async fn count_open(db: &Db) -> Result<OpenOrders, DbError> {
    db.transaction(
        "orders.count_open",
        async |tx| -> Result<OpenOrders, DbError> {
            Ok(OpenOrders {
                by_status: orders::count_open(tx).await?,
                oldest_unshipped: orders::oldest_unshipped(tx).await?,
                past_deadline: orders::count_late(tx).await?,
                attention: orders::count_attention(tx).await?,
                now: tx.now().await?,
            })
        },
    )
    .await
}
