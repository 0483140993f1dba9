use chrono::{DateTime, Utc};
use contracts::delivery::Handover;
use db::{DbError, LockedRow, Tx, UnknownValue, cached};
use diesel::{
    prelude::*,
    sql_query,
    sql_types::{Array, Nullable, Text, Uuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::{OrderId, SlotId, UserId, Zone};

use super::{
    schema::{bookings, slots},
    zones,
};
use crate::domain::booking::Booking;

/// The slot in which an order has or had a place.
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

/// A row of the table `bookings`.
#[derive(Clone)]
pub struct BookingRow {
    pub user_id: UserId,
    pub booking: Booking,
    pub place: Option<Place>,
    /// How the parcel is handed over, once it was booked.
    pub handover: Option<Handover>,
    /// The courier who delivers the parcel, once there is one.
    pub courier_id: Option<UserId>,
}

type Columns = (
    OrderId,
    UserId,
    String,
    Option<String>,
    Option<Zone>,
    Option<SlotId>,
    Option<UserId>,
);

fn from_columns(columns: Columns) -> Result<(OrderId, BookingRow), DbError> {
    let (order_id, user_id, state, handover, zone, slot_id, courier_id) = columns;
    let handover = handover.as_deref().map(zones::from_text).transpose()?;
    let booking = match state.as_str() {
        "refused" => Some(Booking::Refused),
        "booked" => Some(Booking::Booked(handover.unwrap_or(Handover::Courier))),
        "out_for_delivery" => Some(Booking::OutForDelivery),
        "delivered" => Some(Booking::Delivered),
        "failed" => Some(Booking::Failed),
        "freed" => Some(Booking::Freed),
        _ => None,
    };
    let booking = UnknownValue::or(booking, "the state of a booking", state)?;
    let place = zone
        .zip(slot_id)
        .map(|(zone, slot_id)| Place { zone, slot_id });
    let row = BookingRow {
        user_id,
        booking,
        place,
        handover,
        courier_id,
    };
    Ok((order_id, row))
}

impl LockedRow for BookingRow {
    type Key = OrderId;
    const WHAT: &'static str = "saving bookings";

    async fn lock(
        conn: &mut AsyncPgConnection,
        ids: Vec<OrderId>,
    ) -> Result<Vec<(OrderId, Self)>, DbError> {
        let columns = (
            bookings::order_id,
            bookings::user_id,
            bookings::state,
            bookings::handover,
            bookings::zone,
            bookings::slot_id,
            bookings::courier_id,
        );
        let locked = bookings::table
            .filter(bookings::order_id.eq_any(ids))
            .order(bookings::order_id)
            .select(columns)
            .for_update();
        let found: Vec<Columns> = locked.load(conn).await?;
        found.into_iter().map(from_columns).collect()
    }

    async fn insert(
        conn: &mut AsyncPgConnection,
        rows: Vec<(OrderId, Self)>,
    ) -> Result<usize, DbError> {
        let (mut ids, mut users, mut states) = (Vec::new(), Vec::new(), Vec::new());
        let (mut places, mut slots, mut handovers) = (Vec::new(), Vec::new(), Vec::new());
        for (id, row) in rows {
            let (zone, slot_id) = row.place.map(|place| (place.zone, place.slot_id)).unzip();
            ids.push(id);
            users.push(row.user_id);
            states.push(to_text(row.booking));
            places.push(zone);
            slots.push(slot_id);
            handovers.push(row.handover.map(zones::to_text));
        }
        let query = sql_query(
            "INSERT INTO bookings (order_id, user_id, state, zone, slot_id, handover)
             SELECT * FROM unnest($1, $2, $3, $4, $5, $6)",
        )
        .bind::<Array<Uuid>, _>(ids)
        .bind::<Array<Uuid>, _>(users)
        .bind::<Array<Text>, _>(states)
        .bind::<Array<Nullable<Text>>, _>(places)
        .bind::<Array<Nullable<Uuid>>, _>(slots)
        .bind::<Array<Nullable<Text>>, _>(handovers);
        Ok(cached(query).execute(conn).await?)
    }

    async fn update(
        conn: &mut AsyncPgConnection,
        rows: Vec<(OrderId, Self)>,
    ) -> Result<usize, DbError> {
        let (mut ids, mut states, mut couriers) = (Vec::new(), Vec::new(), Vec::new());
        for (id, row) in rows {
            ids.push(id);
            states.push(to_text(row.booking));
            couriers.push(row.courier_id);
        }
        let query = sql_query(
            "UPDATE bookings SET state = new.state, courier_id = new.courier,
               changed_at =
                 CASE WHEN bookings.state = new.state THEN bookings.changed_at ELSE now() END
             FROM unnest($1, $2, $3) AS new (id, state, courier) WHERE order_id = new.id",
        )
        .bind::<Array<Uuid>, _>(ids)
        .bind::<Array<Text>, _>(states)
        .bind::<Array<Nullable<Uuid>>, _>(couriers);
        Ok(cached(query).execute(conn).await?)
    }
}

/// The order's booking and place, locked until the transaction ends.
pub async fn lock(
    tx: &mut Tx<'_>,
    order_id: OrderId,
) -> Result<Option<(Booking, Option<Place>)>, DbError> {
    let row = locked(tx, order_id).await?;
    Ok(row.map(|row| (row.booking, row.place)))
}

/// The order's row, locked until the transaction ends.
pub async fn locked(tx: &mut Tx<'_>, order_id: OrderId) -> Result<Option<BookingRow>, DbError> {
    tx.lock_row(&order_id).await
}

/// Saves another courier of the row that [`locked`] found.
pub fn assign(tx: &mut Tx<'_>, order_id: OrderId, row: BookingRow, courier_id: Option<UserId>) {
    tx.save_row(order_id, BookingRow { courier_id, ..row });
}

/// Saves the state that follows the one that [`lock`] found. Where [`lock`] found no row, it locked
/// nothing: if another event of the order was faster, the commit fails, and the event is applied
/// again.
pub fn save(
    tx: &mut Tx<'_>,
    (order_id, user_id): (OrderId, UserId),
    booking: Booking,
    place: Option<Place>,
) {
    let before: Option<&BookingRow> = tx.locked_row(&order_id);
    let handover = match booking {
        Booking::Booked(handover) => Some(handover),
        _ => before.and_then(|row| row.handover),
    };
    let courier_id = before.and_then(|row| row.courier_id);
    let row = BookingRow {
        user_id,
        booking,
        place,
        handover,
        courier_id,
    };
    tx.save_row(order_id, row);
}

/// A parcel, its slot and its courier.
#[derive(Queryable)]
pub struct ParcelInSlot {
    pub order_id: OrderId,
    pub zone: Zone,
    pub slot_id: SlotId,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub courier_id: Option<UserId>,
}

/// Parcels of one state with an order's id beyond `after`, by that id. The courier `seen_by` sees
/// only their own, and those that are free to take.
pub async fn in_state(
    tx: &mut Tx<'_>,
    state: &str,
    seen_by: Option<UserId>,
    after: Option<OrderId>,
    limit: i64,
) -> Result<Vec<ParcelInSlot>, DbError> {
    let mut found = bookings::table
        .inner_join(slots::table)
        .filter(bookings::state.eq(state))
        .into_boxed();
    let is_free = bookings::courier_id.is_null();
    found = match seen_by {
        None => found,
        // The person who ordered a parcel does not deliver it.
        Some(courier) if state == to_text(Booking::OutForDelivery) => found.filter(
            bookings::courier_id
                .eq(courier)
                .or(is_free.and(bookings::user_id.ne(courier))),
        ),
        Some(courier) => found.filter(bookings::courier_id.eq(courier)),
    };
    if let Some(after) = after {
        found = found.filter(bookings::order_id.gt(after));
    }
    let columns = (
        bookings::order_id,
        slots::zone,
        slots::id,
        slots::starts_at,
        slots::ends_at,
        bookings::courier_id,
    );
    Ok(found
        .order(bookings::order_id)
        .limit(limit)
        .select(columns)
        .load(&mut **tx)
        .await?)
}
