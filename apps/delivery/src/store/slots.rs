use chrono::{DateTime, Utc};
use db::{DbError, LockedRow, Tx, cached};
use diesel::{
    dsl,
    prelude::*,
    sql_query,
    sql_types::{Array, BigInt, Uuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::{SlotId, Zone};

use super::schema::slots;
use crate::domain::slot::Slot;

#[derive(Queryable, Selectable)]
#[diesel(table_name = slots)]
#[diesel(check_for_backend(diesel::pg::Pg))]
struct SlotRow {
    id: SlotId,
    zone: Zone,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    capacity: i64,
    booked: i64,
}

impl From<SlotRow> for Slot {
    fn from(row: SlotRow) -> Self {
        let SlotRow {
            zone,
            starts_at,
            ends_at,
            capacity,
            booked,
            ..
        } = row;
        Self {
            zone,
            starts_at,
            ends_at,
            capacity,
            booked,
        }
    }
}

impl LockedRow for Slot {
    type Key = SlotId;
    const WHAT: &'static str = "saving slots";

    async fn lock(
        conn: &mut AsyncPgConnection,
        ids: Vec<SlotId>,
    ) -> Result<Vec<(SlotId, Self)>, DbError> {
        let locked = slots::table
            .filter(slots::id.eq_any(ids))
            .order(slots::id)
            .select(SlotRow::as_select())
            .for_update();
        let rows: Vec<SlotRow> = locked.load(conn).await?;
        Ok(rows.into_iter().map(|row| (row.id, row.into())).collect())
    }

    async fn update(
        conn: &mut AsyncPgConnection,
        slots: Vec<(SlotId, Self)>,
    ) -> Result<usize, DbError> {
        let (ids, booked): (Vec<_>, Vec<_>) = slots
            .into_iter()
            .map(|(id, slot)| (id, slot.booked))
            .unzip();
        let query = sql_query(
            "UPDATE slots SET booked = new.booked
             FROM unnest($1, $2) AS new (id, booked) WHERE slots.id = new.id",
        )
        .bind::<Array<Uuid>, _>(ids)
        .bind::<Array<BigInt>, _>(booked);
        Ok(cached(query).execute(conn).await?)
    }
}

/// The slot, locked until the transaction ends.
pub async fn lock(tx: &mut Tx<'_>, id: SlotId) -> Result<Option<Slot>, DbError> {
    tx.lock_row(&id).await
}

/// Saves the number of booked places of a locked slot.
pub fn save_booked(tx: &mut Tx<'_>, id: SlotId, slot: Slot, booked: i64) {
    tx.save_row(id, Slot { booked, ..slot });
}

pub async fn add(tx: &mut Tx<'_>, id: SlotId, slot: &Slot) -> Result<(), DbError> {
    let new = (
        slots::id.eq(id),
        slots::zone.eq(&slot.zone),
        slots::starts_at.eq(slot.starts_at),
        slots::ends_at.eq(slot.ends_at),
        slots::capacity.eq(slot.capacity),
    );
    let added = diesel::insert_into(slots::table)
        .values(new)
        .execute(&mut **tx)
        .await?;
    DbError::expect_rows("adding a slot", 1, added)
}

/// Slots of a zone that have not ended by the database's clock, beyond `after`, the earliest first.
pub async fn of_zone(
    tx: &mut Tx<'_>,
    zone: &Zone,
    after: Option<(DateTime<Utc>, SlotId)>,
    limit: i64,
) -> Result<Vec<(SlotId, Slot)>, DbError> {
    let mut found = slots::table
        .filter(slots::zone.eq(zone))
        .filter(slots::ends_at.gt(dsl::now))
        .into_boxed();
    if let Some((starts_at, id)) = after {
        found = found.filter(
            slots::starts_at
                .gt(starts_at)
                .or(slots::starts_at.eq(starts_at).and(slots::id.gt(id))),
        );
    }
    let ordered = found
        .order((slots::starts_at, slots::id))
        .limit(limit)
        .select(SlotRow::as_select());
    let rows: Vec<SlotRow> = ordered.load(&mut **tx).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.into())).collect())
}
