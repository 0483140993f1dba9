//! What delivery listens to. Each event goes to a use case; nothing else happens here.

use contracts::{
    About,
    orders::Closed,
    warehouse::{Reserved, Shipped},
};
use db::Tx;
use inbox::{Delivery as Delivered, Message, Subscriptions};
use kernel::{Event, SlotId};
use service_kit::{Service, tokens_void};

use crate::{
    Delivery, State,
    domain::{booking::Input, slot::Slot},
    store::bookings,
    usecases::{DeliveryError, follow_order},
};

pub fn subscriptions() -> Subscriptions<State> {
    Subscriptions::group(Delivery::NAME)
        .lock::<bookings::Row>()
        .then_lock::<Slot>(slots)
        .on(reserved)
        .on(shipped)
        .on(closed)
        .on(tokens_void::<State>)
}

async fn reserved(
    tx: &mut Tx<'_>,
    _: &State,
    reserved: Delivered<Reserved>,
) -> Result<(), DeliveryError> {
    follow_order::on_reserved(tx, reserved.event.order).await
}

async fn shipped(
    tx: &mut Tx<'_>,
    _: &State,
    shipped: Delivered<Shipped>,
) -> Result<(), DeliveryError> {
    let order = shipped.event.order;
    follow_order::on_other(tx, order.order_id, order.user_id, Input::Shipped).await
}

async fn closed(
    tx: &mut Tx<'_>,
    _: &State,
    closed: Delivered<Closed>,
) -> Result<(), DeliveryError> {
    follow_order::on_other(
        tx,
        closed.event.order_id,
        closed.event.user_id,
        Input::Closed,
    )
    .await
}

/// The slot in which an event may take or free a place: that of its order, or that of the order's
/// booking.
fn slots(tx: &mut Tx<'_>, message: &Message) -> Vec<SlotId> {
    let Some(about) = About::read(&message.payload) else {
        return Vec::new();
    };
    if message.event_type == Shipped::TYPE {
        return Vec::new();
    }
    let of_booking = |id| {
        let booking: Option<&bookings::Row> = tx.locked_row(&id);
        Some(booking?.place.as_ref()?.slot_id)
    };
    let slot = match &about.sheet {
        Some(sheet) => Some(sheet.slot_id),
        None => about.order_id().and_then(of_booking),
    };
    slot.into_iter().collect()
}
