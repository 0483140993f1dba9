use contracts::{
    Line, OrderSheet,
    warehouse::{ReleaseRefused, Released, ReserveRefused, Reserved, Returned, Shipped},
};
use db::Tx;
use kernel::{OrderId, UserId};

use super::WarehouseError;
use crate::{
    domain::{
        parcel::{self, Announcement, Decision, Input, StockMove},
        shelf,
    },
    store::{
        goods, movements,
        parcels::{self, Lines, ParcelRow},
    },
};

/// Reserves the goods of an order whose money is held.
pub async fn on_held(tx: &mut Tx<'_>, order: OrderSheet) -> Result<(), WarehouseError> {
    // The order's own row first, then the shelves that it shares with other orders. All services
    // lock in this sequence, so that no two transactions wait for each other.
    parcels::lock(tx, order.order_id).await?;
    let shelves = goods::lock_shelves(tx, order.lines.iter().map(|line| &line.sku)).await?;
    let lines = order.lines.iter().map(|Line { sku, quantity, .. }| {
        (sku.clone(), i64::from(*quantity), shelves.get(sku).copied())
    });
    let missing = shelf::missing(lines);
    apply(
        tx,
        order.order_id,
        order.user_id,
        Some(order),
        Input::Held { missing },
    )
    .await
}

/// Ships an order whose money is captured.
pub async fn on_captured(tx: &mut Tx<'_>, order: OrderSheet) -> Result<(), WarehouseError> {
    apply(
        tx,
        order.order_id,
        order.user_id,
        Some(order),
        Input::Captured,
    )
    .await
}

/// Follows a stop, a verdict, or a parcel that its recipient did not take.
pub async fn on_other(
    tx: &mut Tx<'_>,
    order_id: OrderId,
    user_id: UserId,
    input: Input,
) -> Result<(), WarehouseError> {
    apply(tx, order_id, user_id, None, input).await
}

/// Decides what an input changes, stores it and publishes it.
async fn apply(
    tx: &mut Tx<'_>,
    order_id: OrderId,
    user_id: UserId,
    order: Option<OrderSheet>,
    input: Input,
) -> Result<(), WarehouseError> {
    let row = parcels::lock(tx, order_id).await?;
    let before = row.as_ref().map(|row| row.parcel);
    let Decision { parcel, stock, say } = parcel::decide(before, input.clone());
    if parcel.is_none() && say.is_none() {
        tracing::info!(%order_id, ?before, ?input, "the input no longer applies");
    }
    let mut lines = row.map(|row| row.lines).unwrap_or_default();
    if let (Some(StockMove::Reserve), Some(order)) = (stock, &order) {
        let wanted = order.lines.iter();
        lines = wanted
            .map(|line| (line.sku.clone(), i64::from(line.quantity)))
            .collect();
    }
    if let Some(stock) = stock {
        move_stock(tx, order_id, &lines, stock).await?;
    }
    if let Some(parcel) = parcel {
        let row = ParcelRow {
            user_id,
            parcel,
            lines,
        };
        parcels::save(tx, order_id, row);
    }
    if let Some(say) = say {
        publish(tx, order_id, user_id, order, say)?;
    }
    Ok(())
}

/// Moves the goods of a parcel.
async fn move_stock(
    tx: &mut Tx<'_>,
    order_id: OrderId,
    lines: &Lines,
    stock: StockMove,
) -> Result<(), WarehouseError> {
    let shelves = goods::lock_shelves(tx, lines.keys()).await?;
    for (sku, quantity) in lines {
        let shelf = shelves.get(sku).copied().ok_or(shelf::ShelfError::Short)?;
        goods::save_shelf(tx, sku, shelf.apply(stock, *quantity)?);
        let moved = match stock {
            StockMove::TakeOut => Some(("shipment", -quantity)),
            StockMove::PutBack => Some(("return", *quantity)),
            StockMove::Reserve | StockMove::Release => None,
        };
        if let Some((kind, quantity)) = moved {
            movements::record(tx, sku, kind, quantity, Some(order_id));
        }
    }
    Ok(())
}

fn publish(
    tx: &mut Tx<'_>,
    order_id: OrderId,
    user_id: UserId,
    order: Option<OrderSheet>,
    say: Announcement,
) -> Result<(), WarehouseError> {
    match (say, order) {
        (Announcement::Reserved, Some(order)) => outbox::publish(tx, &Reserved { order })?,
        (Announcement::Shipped, Some(order)) => outbox::publish(tx, &Shipped { order })?,
        (Announcement::ReserveRefused(sku), _) => outbox::publish(
            tx,
            &ReserveRefused {
                order_id,
                user_id,
                sku,
            },
        )?,
        (Announcement::Released, _) => outbox::publish(tx, &Released { order_id, user_id })?,
        (Announcement::ReleaseRefused, _) => {
            outbox::publish(tx, &ReleaseRefused { order_id, user_id })?
        }
        (Announcement::Returned, _) => outbox::publish(tx, &Returned { order_id, user_id })?,
        (Announcement::Reserved | Announcement::Shipped, None) => {
            unreachable!("only an event that carries the sheet leads to these")
        }
    };
    Ok(())
}
