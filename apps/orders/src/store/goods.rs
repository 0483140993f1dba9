use std::collections::BTreeMap;

use db::{DbError, Tx};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use kernel::{Money, Sku};

use super::schema::goods;

pub async fn copy(tx: &mut Tx<'_>, sku: &Sku, name: &str, price: Money) -> Result<(), DbError> {
    let new = (goods::sku.eq(sku), goods::name.eq(name), goods::price.eq(price));
    let copied = diesel::insert_into(goods::table)
        .values(new)
        .on_conflict(goods::sku)
        .do_update()
        .set((goods::name.eq(name), goods::price.eq(price)))
        .execute(&mut **tx)
        .await?;
    DbError::expect_rows("copying goods", 1, copied)
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
