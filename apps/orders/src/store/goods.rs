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
    /// 0 if the event does not say it.
    pub version: i64,
    /// The event's time, if it is known.
    pub listed_at: Option<DateTime<Utc>>,
}

/// Versions decide what is newer; where an event has none, times do.
const COPY: &str = "INSERT INTO goods (sku, name, price, version, listed_at) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (sku) DO UPDATE SET name = excluded.name, price = excluded.price, listed_at = excluded.listed_at,
      version = greatest(goods.version, excluded.version)
    WHERE CASE WHEN excluded.version > 0 THEN excluded.version > goods.version
      ELSE coalesce(excluded.listed_at >= goods.listed_at, true) END";

/// Copies goods, unless what is known of them is newer; whether it did.
pub async fn copy(tx: &mut Tx<'_>, listing: &Listing<'_>) -> Result<bool, DbError> {
    let query = sql_query(COPY)
        .bind::<Text, _>(listing.sku)
        .bind::<Text, _>(listing.name)
        .bind::<BigInt, _>(listing.price)
        .bind::<BigInt, _>(listing.version)
        .bind::<Nullable<Timestamptz>, _>(listing.listed_at);
    Ok(cached(query).execute(&mut **tx).await? == 1)
}

/// Today's prices of those of these goods that are known.
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
