use std::collections::BTreeMap;

use db::{DbError, LockedRow, Tx, UnknownValue, cached};
use diesel::{
    prelude::*,
    sql_query,
    sql_types::{Array, BigInt, Text, Uuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::{OrderId, Sku, UserId};

use super::schema::{parcel_lines, parcels};
use crate::domain::parcel::Parcel;

/// The quantity of each SKU.
pub type Lines = BTreeMap<Sku, i64>;

/// An order's parcel: its row of the table `parcels`, and those of `parcel_lines`.
#[derive(Clone)]
pub struct ParcelRow {
    pub user_id: UserId,
    pub parcel: Parcel,
    /// Empty if no goods were reserved for it.
    pub lines: Lines,
}

const ALL: [Parcel; 5] = [
    Parcel::Refused,
    Parcel::Reserved,
    Parcel::Released,
    Parcel::Shipped,
    Parcel::Returned,
];

const fn to_text(parcel: Parcel) -> &'static str {
    match parcel {
        Parcel::Refused => "refused",
        Parcel::Reserved => "reserved",
        Parcel::Released => "released",
        Parcel::Shipped => "shipped",
        Parcel::Returned => "returned",
    }
}

fn from_text(text: &str) -> Result<Parcel, UnknownValue> {
    let parcel = ALL.into_iter().find(|parcel| to_text(*parcel) == text);
    UnknownValue::or(parcel, "the state of a parcel", text)
}

impl LockedRow for ParcelRow {
    type Key = OrderId;
    const WHAT: &'static str = "saving parcels";

    async fn lock(
        conn: &mut AsyncPgConnection,
        ids: Vec<OrderId>,
    ) -> Result<Vec<(OrderId, Self)>, DbError> {
        let locked = parcels::table
            .filter(parcels::order_id.eq_any(ids))
            .order(parcels::order_id)
            .select((parcels::order_id, parcels::user_id, parcels::state))
            .for_update();
        let found: Vec<(OrderId, UserId, String)> = locked.load(conn).await?;
        let mut lines = lines(conn, found.iter().map(|(id, ..)| *id)).await?;
        let rows = found.into_iter().map(|(id, user_id, state)| {
            let row = Self {
                user_id,
                parcel: from_text(&state)?,
                lines: lines.remove(&id).unwrap_or_default(),
            };
            Ok((id, row))
        });
        rows.collect()
    }

    async fn insert(
        conn: &mut AsyncPgConnection,
        rows: Vec<(OrderId, Self)>,
    ) -> Result<usize, DbError> {
        let (mut ids, mut users, mut states) = (Vec::new(), Vec::new(), Vec::new());
        let mut all_lines = Vec::new();
        for (id, row) in rows {
            ids.push(id);
            users.push(row.user_id);
            states.push(to_text(row.parcel));
            all_lines.extend(
                row.lines
                    .into_iter()
                    .map(|(sku, quantity)| (id, sku, quantity)),
            );
        }
        let query = sql_query(
            "INSERT INTO parcels (order_id, user_id, state) SELECT * FROM unnest($1, $2, $3)",
        )
        .bind::<Array<Uuid>, _>(ids)
        .bind::<Array<Uuid>, _>(users)
        .bind::<Array<Text>, _>(states);
        let added = cached(query).execute(conn).await?;
        if !all_lines.is_empty() {
            add_lines(conn, all_lines).await?;
        }
        Ok(added)
    }

    async fn update(
        conn: &mut AsyncPgConnection,
        rows: Vec<(OrderId, Self)>,
    ) -> Result<usize, DbError> {
        let (ids, states): (Vec<_>, Vec<_>) = rows
            .into_iter()
            .map(|(id, row)| (id, to_text(row.parcel)))
            .unzip();
        let query = sql_query(
            "UPDATE parcels SET state = new.state, changed_at = now()
             FROM unnest($1, $2) AS new (id, state) WHERE order_id = new.id",
        )
        .bind::<Array<Uuid>, _>(ids)
        .bind::<Array<Text>, _>(states);
        Ok(cached(query).execute(conn).await?)
    }
}

async fn add_lines(
    conn: &mut AsyncPgConnection,
    lines: Vec<(OrderId, Sku, i64)>,
) -> Result<(), DbError> {
    let expected = lines.len();
    let (mut ids, mut skus, mut quantities) = (Vec::new(), Vec::new(), Vec::new());
    for (id, sku, quantity) in lines {
        ids.push(id);
        skus.push(sku);
        quantities.push(quantity);
    }
    let query = sql_query(
        "INSERT INTO parcel_lines (order_id, sku, quantity) SELECT * FROM unnest($1, $2, $3)",
    )
    .bind::<Array<Uuid>, _>(ids)
    .bind::<Array<Text>, _>(skus)
    .bind::<Array<BigInt>, _>(quantities);
    let added = cached(query).execute(conn).await?;
    DbError::expect_rows("adding lines of parcels", expected, added)
}

async fn lines(
    conn: &mut AsyncPgConnection,
    ids: impl Iterator<Item = OrderId>,
) -> Result<BTreeMap<OrderId, Lines>, DbError> {
    let ids: Vec<OrderId> = ids.collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let found: Vec<(OrderId, Sku, i64)> = parcel_lines::table
        .filter(parcel_lines::order_id.eq_any(ids))
        .select((
            parcel_lines::order_id,
            parcel_lines::sku,
            parcel_lines::quantity,
        ))
        .load(conn)
        .await?;
    let mut lines = BTreeMap::<OrderId, Lines>::new();
    for (id, sku, quantity) in found {
        lines.entry(id).or_default().insert(sku, quantity);
    }
    Ok(lines)
}

/// The order's parcel, locked until the transaction ends.
pub async fn lock(tx: &mut Tx<'_>, order_id: OrderId) -> Result<Option<ParcelRow>, DbError> {
    tx.lock_row(&order_id).await
}

/// Saves the state that follows the one that [`lock`] found. Where [`lock`] found no row, it locked
/// nothing: if another event of the order was faster, the commit fails, and the event is applied
/// again.
pub fn save(tx: &mut Tx<'_>, order_id: OrderId, row: ParcelRow) {
    tx.save_row(order_id, row);
}
