//! The events that delivery listens to. Each goes to a use case; nothing else happens here.

use contracts::{
    About,
    orders::Closed,
    warehouse::{Reserved, Shipped},
};
use db::Tx;
use inbox::{Delivery, Message, Subscriptions};
use kernel::{Event, SlotId};
use service_kit::tokens_void;

use crate::{
    domain::{booking::Input, slot::Slot},
    state::State,
    store::bookings,
    usecases::{DeliveryError, follow_order},
};

/// The subscriptions of the consumer group `group`.
pub fn subscriptions(group: &'static str) -> Subscriptions<State> {
    Subscriptions::group(group)
        .lock::<bookings::BookingRow>()
        .then_lock::<Slot>(slots)
        .on(reserved)
        .on(shipped)
        .on(closed)
        .on(tokens_void::<State>)
}

async fn reserved(
    tx: &mut Tx<'_>,
    _: &State,
    reserved: Delivery<Reserved>,
) -> Result<(), DeliveryError> {
    follow_order::on_reserved(tx, reserved.event.order).await
}

async fn shipped(
    tx: &mut Tx<'_>,
    _: &State,
    shipped: Delivery<Shipped>,
) -> Result<(), DeliveryError> {
    let order = shipped.event.order;
    follow_order::on_other(tx, order.order_id, order.user_id, Input::Shipped).await
}

async fn closed(tx: &mut Tx<'_>, _: &State, closed: Delivery<Closed>) -> Result<(), DeliveryError> {
    follow_order::on_other(
        tx,
        closed.event.order_id,
        closed.event.user_id,
        Input::Closed,
    )
    .await
}

/// The slot in which an event may take or free a place, which is locked: that of the order's sheet,
/// or that of the order's booking.
fn slots(tx: &mut Tx<'_>, message: &Message) -> Vec<SlotId> {
    let Some(about) = About::read(&message.payload) else {
        return Vec::new();
    };
    if message.event_type == Shipped::TYPE {
        return Vec::new();
    }
    let of_booking = |id| {
        let booking: Option<&bookings::BookingRow> = tx.locked_row(&id);
        Some(booking?.place.as_ref()?.slot_id)
    };
    let slot = match &about.sheet {
        Some(sheet) => Some(sheet.slot_id),
        None => about.order_id().and_then(of_booking),
    };
    slot.into_iter().collect()
}
