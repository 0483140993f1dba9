use contracts::{
    OrderSheet,
    delivery::{Booked, BookingRefused, Delivered, Failed, FailedReason},
};
use db::Tx;
use kernel::{OrderId, UserId};

use super::DeliveryError;
use crate::{
    domain::{
        booking::{self, Announcement, Booking, Decision, Input, PlaceMove},
        slot::{self, SlotError},
    },
    store::{
        bookings::{self, Place},
        slots, zones,
    },
};

/// Books the slot of an order whose goods are set aside.
pub async fn on_reserved(tx: &mut Tx<'_>, order: OrderSheet) -> Result<(), DeliveryError> {
    let (order_id, user_id) = (order.order_id, order.user_id);
    // The order's own row first, then the slot that it shares with other orders. All services lock
    // in this sequence, so that no two transactions wait for each other.
    let before = bookings::lock(tx, order_id)
        .await?
        .map(|(booking, _)| booking);
    let handover = zones::handover(tx, &order.zone).await?;
    let found = slots::lock(tx, order.slot_id).await?;
    let offered = slot::offer(&order.zone, handover, found.as_ref(), tx.now().await?);
    let decision = booking::decide(before, Input::Reserved(offered));
    let place = Place {
        zone: order.zone.clone(),
        slot_id: order.slot_id,
    };
    let place = matches!(decision.booking, Some(Booking::Booked(_))).then_some(place);
    store(tx, (order_id, user_id), before, &decision, place).await?;
    match (decision.say, found) {
        (Some(Announcement::Booked(handover)), Some(slot)) => {
            let (starts_at, ends_at) = (slot.starts_at, slot.ends_at);
            outbox::publish(
                tx,
                &Booked {
                    order,
                    starts_at,
                    ends_at,
                    handover,
                },
            )?;
        }
        (Some(Announcement::BookingRefused(reason)), _) => {
            outbox::publish(
                tx,
                &BookingRefused {
                    order_id,
                    user_id,
                    reason,
                },
            )?;
        }
        _ => {}
    }
    Ok(())
}

/// Follows a shipment or a verdict.
pub async fn on_other(
    tx: &mut Tx<'_>,
    order_id: OrderId,
    user_id: UserId,
    input: Input,
) -> Result<(), DeliveryError> {
    let (before, place) = bookings::lock(tx, order_id).await?.unzip();
    let decision = booking::decide(before, input);
    carry_out(tx, (order_id, user_id), before, &decision, place.flatten()).await
}

/// Stores a decision about an order that is known, and publishes the outcome of its parcel, if
/// there is one.
pub async fn carry_out(
    tx: &mut Tx<'_>,
    (order_id, user_id): (OrderId, UserId),
    before: Option<Booking>,
    decision: &Decision,
    place: Option<Place>,
) -> Result<(), DeliveryError> {
    store(tx, (order_id, user_id), before, decision, place).await?;
    match decision.say {
        Some(Announcement::Delivered) => {
            outbox::publish(tx, &Delivered { order_id, user_id })?;
        }
        Some(Announcement::Failed) => {
            let reason = FailedReason::RecipientAbsent;
            outbox::publish(
                tx,
                &Failed {
                    order_id,
                    user_id,
                    reason,
                },
            )?;
        }
        Some(Announcement::Booked(_) | Announcement::BookingRefused(_)) | None => {}
    }
    Ok(())
}

/// Stores a decision: the booking, and the place that the slot loses or gets back.
async fn store(
    tx: &mut Tx<'_>,
    (order_id, user_id): (OrderId, UserId),
    before: Option<Booking>,
    decision: &Decision,
    place: Option<Place>,
) -> Result<(), DeliveryError> {
    let Some(booking) = decision.booking else {
        tracing::info!(%order_id, ?before, "the input no longer applies");
        return Ok(());
    };
    bookings::save(tx, (order_id, user_id), booking, place.clone());
    if let (Some(moved), Some(place)) = (decision.place, place) {
        let places = match moved {
            PlaceMove::Take => 1,
            PlaceMove::GiveBack => -1,
        };
        let slot = slots::lock(tx, place.slot_id)
            .await?
            .ok_or(SlotError::Contradiction)?;
        let booked = slot.after(places)?;
        slots::save_booked(tx, place.slot_id, slot, booked);
    }
    Ok(())
}
