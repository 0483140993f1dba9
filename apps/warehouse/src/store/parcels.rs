use contracts::Line;
use db::{DbError, Tx, cached};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use kernel::{OrderId, Sku, UserId};

use super::schema::{parcel_lines, parcels};
use crate::domain::parcel::Parcel;

const fn to_text(parcel: Parcel) -> &'static str {
    match parcel {
        Parcel::Refused => "refused",
        Parcel::Reserved => "reserved",
        Parcel::Released => "released",
        Parcel::Shipped => "shipped",
        Parcel::Returned => "returned",
    }
}

/// The order's parcel, locked until the transaction ends.
pub async fn lock(tx: &mut Tx<'_>, order_id: OrderId) -> Result<Option<Parcel>, DbError> {
    let row = parcels::table.find(order_id).select(parcels::state).for_update();
    let state: Option<String> = row.first(&mut **tx).await.optional()?;
    let all = [
        Parcel::Refused,
        Parcel::Reserved,
        Parcel::Released,
        Parcel::Shipped,
        Parcel::Returned,
    ];
    Ok(state.and_then(|state| all.into_iter().find(|parcel| to_text(*parcel) == state)))
}

/// Saves what follows `before`, what [`lock`] has found. Where it found nothing, nothing was locked: if another event of
/// the order was faster, this fails, and is decided anew.
pub async fn save(
    tx: &mut Tx<'_>,
    order_id: OrderId,
    user_id: UserId,
    before: Option<Parcel>,
    parcel: Parcel,
) -> Result<(), DbError> {
    let state = to_text(parcel);
    let saved = if before.is_none() {
        let new = (
            parcels::order_id.eq(order_id),
            parcels::user_id.eq(user_id),
            parcels::state.eq(state),
        );
        diesel::insert_into(parcels::table)
            .values(new)
            .execute(&mut **tx)
            .await?
    } else {
        let new = (parcels::state.eq(state), parcels::changed_at.eq(diesel::dsl::now));
        let change = diesel::update(parcels::table.find(order_id)).set(new);
        cached(change).execute(&mut **tx).await?
    };
    DbError::expect_rows("saving a parcel", 1, saved)
}

pub async fn add_lines(tx: &mut Tx<'_>, order_id: OrderId, lines: &[Line]) -> Result<(), DbError> {
    let new: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                parcel_lines::order_id.eq(order_id),
                parcel_lines::sku.eq(&line.sku),
                parcel_lines::quantity.eq(i64::from(line.quantity)),
            )
        })
        .collect();
    let added = diesel::insert_into(parcel_lines::table)
        .values(new)
        .execute(&mut **tx)
        .await?;
    DbError::expect_rows("adding a parcel's lines", lines.len(), added)
}

/// The parcel's goods, by SKU.
pub async fn lines(tx: &mut Tx<'_>, order_id: OrderId) -> Result<Vec<(Sku, i64)>, DbError> {
    let found = parcel_lines::table
        .filter(parcel_lines::order_id.eq(order_id))
        .order(parcel_lines::sku);
    Ok(found
        .select((parcel_lines::sku, parcel_lines::quantity))
        .load(&mut **tx)
        .await?)
}
