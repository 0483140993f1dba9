use chrono::{DateTime, Utc};
use contracts::delivery::Handover;
use db::{DbError, Tx, cached};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use kernel::{OrderId, SlotId, UserId, Zone};

use super::{
    schema::{bookings, slots},
    zones,
};
use crate::domain::booking::Booking;

/// The place that an order has or had.
#[derive(Clone, Debug)]
pub struct Place {
    pub zone: Zone,
    pub slot_id: SlotId,
}

const fn to_text(booking: Booking) -> &'static str {
    match booking {
        Booking::Refused => "refused",
        Booking::Booked(_) => "booked",
        Booking::OutForDelivery => "out_for_delivery",
        Booking::Delivered => "delivered",
        Booking::Failed => "failed",
        Booking::Freed => "freed",
    }
}

type Row = (String, Option<String>, Option<Zone>, Option<SlotId>);

/// The order's booking and place, locked until the transaction ends.
pub async fn lock(tx: &mut Tx<'_>, order_id: OrderId) -> Result<Option<(Booking, Option<Place>)>, DbError> {
    let columns = (
        bookings::state,
        bookings::handover,
        bookings::zone,
        bookings::slot_id,
    );
    let row = bookings::table.find(order_id).select(columns).for_update();
    let row: Option<Row> = row.first(&mut **tx).await.optional()?;
    Ok(row.map(|(state, handover, zone, slot_id)| {
        let handover = handover.as_deref().map_or(Handover::Courier, zones::from_text);
        let booking = match state.as_str() {
            "refused" => Booking::Refused,
            "booked" => Booking::Booked(handover),
            "out_for_delivery" => Booking::OutForDelivery,
            "delivered" => Booking::Delivered,
            "failed" => Booking::Failed,
            _ => Booking::Freed,
        };
        (
            booking,
            zone.zip(slot_id).map(|(zone, slot_id)| Place { zone, slot_id }),
        )
    }))
}

/// Saves what follows `before`, what [`lock`] has found. Where it found nothing, nothing was locked: if another event of
/// the order was faster, this fails, and is decided anew.
pub async fn save(
    tx: &mut Tx<'_>,
    (order_id, user_id): (OrderId, UserId),
    before: Option<Booking>,
    booking: Booking,
    place: Option<&Place>,
) -> Result<(), DbError> {
    let state = to_text(booking);
    let saved = if before.is_none() {
        let handover = match booking {
            Booking::Booked(handover) => Some(zones::to_text(handover)),
            _ => None,
        };
        let new = (
            bookings::order_id.eq(order_id),
            bookings::user_id.eq(user_id),
            bookings::state.eq(state),
            bookings::zone.eq(place.map(|place| &place.zone)),
            bookings::slot_id.eq(place.map(|place| place.slot_id)),
            bookings::handover.eq(handover),
        );
        diesel::insert_into(bookings::table)
            .values(new)
            .execute(&mut **tx)
            .await?
    } else {
        let new = (
            bookings::state.eq(state),
            bookings::changed_at.eq(diesel::dsl::now),
        );
        let change = diesel::update(bookings::table.find(order_id)).set(new);
        cached(change).execute(&mut **tx).await?
    };
    DbError::expect_rows("saving a booking", 1, saved)
}

/// Whose parcel it is.
pub async fn owner(tx: &mut Tx<'_>, order_id: OrderId) -> Result<Option<UserId>, DbError> {
    let row = bookings::table.find(order_id).select(bookings::user_id);
    Ok(row.first(&mut **tx).await.optional()?)
}

/// A parcel with its slot.
#[derive(Queryable)]
pub struct Run {
    pub order_id: OrderId,
    pub zone: Zone,
    pub slot_id: SlotId,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
}

/// Parcels of one state beyond `after`, in the order of their ids.
pub async fn in_state(
    tx: &mut Tx<'_>,
    state: &str,
    after: Option<OrderId>,
    limit: i64,
) -> Result<Vec<Run>, DbError> {
    let mut found = bookings::table
        .inner_join(slots::table)
        .filter(bookings::state.eq(state))
        .into_boxed();
    if let Some(after) = after {
        found = found.filter(bookings::order_id.gt(after));
    }
    let columns = (
        bookings::order_id,
        slots::zone,
        slots::id,
        slots::starts_at,
        slots::ends_at,
    );
    Ok(found
        .order(bookings::order_id)
        .limit(limit)
        .select(columns)
        .load(&mut **tx)
        .await?)
}
