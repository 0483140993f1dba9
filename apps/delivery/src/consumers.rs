//! What delivery listens to. Each event goes to a use case; nothing else happens here.

use contracts::{
    orders::Closed,
    warehouse::{Reserved, Shipped},
};
use db::Tx;
use inbox::{Delivery as Delivered, Subscriptions};
use service_kit::Service;

use crate::{
    Delivery, State,
    domain::booking::Input,
    store::bookings,
    usecases::{DeliveryError, follow_order},
};

pub fn subscriptions() -> Subscriptions<State> {
    Subscriptions::group(Delivery::NAME)
        .lock::<bookings::Row>()
        .on(reserved)
        .on(shipped)
        .on(closed)
}

async fn reserved(tx: &mut Tx<'_>, _: &State, reserved: Delivered<Reserved>) -> Result<(), DeliveryError> {
    follow_order::on_reserved(tx, reserved.event.order).await
}

async fn shipped(tx: &mut Tx<'_>, _: &State, shipped: Delivered<Shipped>) -> Result<(), DeliveryError> {
    let order = shipped.event.order;
    follow_order::on_other(tx, order.order_id, order.user_id, Input::Shipped).await
}

async fn closed(tx: &mut Tx<'_>, _: &State, closed: Delivered<Closed>) -> Result<(), DeliveryError> {
    follow_order::on_other(tx, closed.event.order_id, closed.event.user_id, Input::Closed).await
}
