//! The events that the warehouse listens to. Each goes to a use case; nothing else happens here.

use contracts::{
    About,
    billing::{Captured, Held},
    delivery::Failed,
    orders::{Closed, StopRequested},
};
use db::Tx;
use inbox::{Delivery, Message, Subscriptions};
use kernel::Sku;
use service_kit::tokens_void;

use crate::{
    domain::{parcel::Input, shelf::Shelf},
    state::State,
    store::parcels,
    usecases::{WarehouseError, follow_order},
};

/// The subscriptions of the consumer group `group`.
pub fn subscriptions(group: &'static str) -> Subscriptions<State> {
    Subscriptions::group(group)
        .lock::<parcels::ParcelRow>()
        .then_lock::<Shelf>(shelves)
        .on(held)
        .on(captured)
        .on(stop_requested)
        .on(closed)
        .on(failed)
        .on(tokens_void::<State>)
}

/// The goods that an event may move, whose shelves are locked: those of the order's sheet, or those
/// of the order's parcel.
fn shelves(tx: &mut Tx<'_>, message: &Message) -> Vec<Sku> {
    let Some(about) = About::read(&message.payload) else {
        return Vec::new();
    };
    if let Some(sheet) = about.sheet {
        return sheet.lines.into_iter().map(|line| line.sku).collect();
    }
    let parcel: Option<&parcels::ParcelRow> = about.order_id().and_then(|id| tx.locked_row(&id));
    let skus = parcel.map(|parcel| parcel.lines.keys().cloned());
    skus.into_iter().flatten().collect()
}

async fn held(tx: &mut Tx<'_>, _: &State, held: Delivery<Held>) -> Result<(), WarehouseError> {
    follow_order::on_held(tx, held.event.order).await
}

async fn captured(
    tx: &mut Tx<'_>,
    _: &State,
    captured: Delivery<Captured>,
) -> Result<(), WarehouseError> {
    follow_order::on_captured(tx, captured.event.order).await
}

async fn stop_requested(
    tx: &mut Tx<'_>,
    _: &State,
    stop: Delivery<StopRequested>,
) -> Result<(), WarehouseError> {
    follow_order::on_other(
        tx,
        stop.event.order_id,
        stop.event.user_id,
        Input::StopRequested,
    )
    .await
}

async fn closed(
    tx: &mut Tx<'_>,
    _: &State,
    closed: Delivery<Closed>,
) -> Result<(), WarehouseError> {
    follow_order::on_other(
        tx,
        closed.event.order_id,
        closed.event.user_id,
        Input::Closed,
    )
    .await
}

async fn failed(
    tx: &mut Tx<'_>,
    _: &State,
    failed: Delivery<Failed>,
) -> Result<(), WarehouseError> {
    follow_order::on_other(
        tx,
        failed.event.order_id,
        failed.event.user_id,
        Input::DeliveryFailed,
    )
    .await
}
