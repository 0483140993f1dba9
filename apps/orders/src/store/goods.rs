use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use db::{DbError, Tx, cached};
use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Nullable, Text, Timestamptz},
};
use diesel_async::RunQueryDsl;
use kernel::{Money, Sku};

use super::schema::goods;

/// Goods as an event lists them.
pub struct Listing<'l> {
    pub sku: &'l Sku,
    pub name: &'l str,
    pub price: Money,
    /// 0 if the event has none.
    pub version: i64,
    /// The time of the event, if it has one.
    pub listed_at: Option<DateTime<Utc>>,
}

/// The version decides which listing is newer, or the time where an event has no version.
const COPY: &str = "INSERT INTO goods (sku, name, price, version, listed_at)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (sku) DO UPDATE SET name = excluded.name, price = excluded.price,
      listed_at = excluded.listed_at, version = greatest(goods.version, excluded.version)
    WHERE CASE WHEN excluded.version > 0 THEN excluded.version > goods.version
      ELSE coalesce(excluded.listed_at >= goods.listed_at, true) END";

/// Copies a listing of goods, unless a newer one is known. `true` if it was copied.
pub async fn copy(tx: &mut Tx<'_>, listing: &Listing<'_>) -> Result<bool, DbError> {
    let query = sql_query(COPY)
        .bind::<Text, _>(listing.sku)
        .bind::<Text, _>(listing.name)
        .bind::<BigInt, _>(listing.price)
        .bind::<BigInt, _>(listing.version)
        .bind::<Nullable<Timestamptz>, _>(listing.listed_at);
    Ok(cached(query).execute(&mut **tx).await? == 1)
}

/// Today's prices of these goods, without those that are not listed.
pub async fn prices(
    tx: &mut Tx<'_>,
    skus: impl Iterator<Item = &Sku>,
) -> Result<BTreeMap<Sku, Money>, DbError> {
    let wanted: Vec<&Sku> = skus.collect();
    let known = goods::table
        .filter(goods::sku.eq_any(wanted))
        .select((goods::sku, goods::price));
    let rows: Vec<(Sku, Money)> = known.load(&mut **tx).await?;
    Ok(rows.into_iter().collect())
}
