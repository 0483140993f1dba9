//! What the warehouse listens to. Each event goes to a use case; nothing else happens here.

use contracts::{
    billing::{Captured, Held},
    delivery::Failed,
    orders::{Closed, StopRequested},
};
use db::Tx;
use inbox::{Delivery, Subscriptions};
use service_kit::Service;

use crate::{
    State, Warehouse,
    domain::parcel::Input,
    store::parcels,
    usecases::{WarehouseError, follow_order},
};

pub fn subscriptions() -> Subscriptions<State> {
    Subscriptions::group(Warehouse::NAME)
        .lock::<parcels::Row>()
        .on(held)
        .on(captured)
        .on(stop_requested)
        .on(closed)
        .on(failed)
}

async fn held(tx: &mut Tx<'_>, _: &State, held: Delivery<Held>) -> Result<(), WarehouseError> {
    follow_order::on_held(tx, held.event.order).await
}

async fn captured(tx: &mut Tx<'_>, _: &State, captured: Delivery<Captured>) -> Result<(), WarehouseError> {
    follow_order::on_captured(tx, captured.event.order).await
}

async fn stop_requested(
    tx: &mut Tx<'_>,
    _: &State,
    stop: Delivery<StopRequested>,
) -> Result<(), WarehouseError> {
    follow_order::on_other(tx, stop.event.order_id, stop.event.user_id, Input::StopRequested).await
}

async fn closed(tx: &mut Tx<'_>, _: &State, closed: Delivery<Closed>) -> Result<(), WarehouseError> {
    follow_order::on_other(tx, closed.event.order_id, closed.event.user_id, Input::Closed).await
}

async fn failed(tx: &mut Tx<'_>, _: &State, failed: Delivery<Failed>) -> Result<(), WarehouseError> {
    follow_order::on_other(
        tx,
        failed.event.order_id,
        failed.event.user_id,
        Input::DeliveryFailed,
    )
    .await
}
