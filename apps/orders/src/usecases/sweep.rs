use contracts::orders::StopReason;
use db::{Db, DbError, Tx};
use kernel::{OrderId, cause_chain};

use super::{OrderError, go_on, request_stop};
use crate::{
    State,
    domain::{
        attention::{Overdue, overdue},
        status::Status,
    },
    metrics::Open,
    store::{open, orders},
};

const AT_A_TIME: i64 = 100;

/// Deals with the orders that are late, each in a transaction of its own; how many there were. One
/// that fails is tried again at the next sweep, and holds up no other.
pub async fn sweep(db: &Db, state: &State) -> Result<usize, DbError> {
    let late = db
        .transaction("orders.late", async |tx| orders::late(tx, AT_A_TIME).await)
        .await?;
    for order_id in &late {
        let done = db
            .transaction("orders.deal_with_late", async |tx| {
                deal_with(tx, state, *order_id).await
            })
            .await;
        if let Err(error) = done {
            tracing::error!(%order_id, error = cause_chain(&error), "a late order was not dealt with");
        }
    }
    Ok(late.len())
}

/// Another replica may have been faster, or the order may have gone on.
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
            tracing::error!(%order_id, status = status.as_str(), attention = attention.as_str(), "an order needs attention");
            Ok(orders::ask_for_attention(tx, order_id, attention).await?)
        }
        None => {
            go_on::save(tx, state, order_id, &known, Vec::new());
            Ok(())
        }
    }
}

/// Looks at the orders that are under way, for the metrics.
pub async fn count_open(db: &Db) -> Result<Open, DbError> {
    db.transaction("orders.count_open", async |tx| -> Result<Open, DbError> {
        Ok(Open {
            by_status: orders::count_open(tx).await?,
            oldest_unshipped: orders::oldest_unshipped(tx).await?,
            past_deadline: orders::count_late(tx).await?,
            attention: orders::count_attention(tx).await?,
            now: tx.now().await?,
        })
    })
    .await
}
