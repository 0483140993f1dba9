use std::collections::BTreeMap;

use db::{DbError, Tx, cached};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use kernel::{Money, Sku};

use super::schema::goods;
use crate::domain::shelf::Shelf;

#[derive(Queryable, Selectable)]
#[diesel(table_name = goods)]
#[diesel(check_for_backend(diesel::pg::Pg))]
pub struct Goods {
    pub sku: Sku,
    pub name: String,
    pub price: Money,
    pub on_hand: i64,
    pub reserved: i64,
    pub version: i64,
}

impl Goods {
    pub fn shelf(&self) -> Shelf {
        Shelf {
            on_hand: self.on_hand,
            reserved: self.reserved,
        }
    }
}

pub async fn find(tx: &mut Tx<'_>, sku: &Sku) -> Result<Option<Goods>, DbError> {
    Ok(goods::table
        .find(sku)
        .select(Goods::as_select())
        .first(&mut **tx)
        .await
        .optional()?)
}

/// The goods with their row locked until the transaction ends.
pub async fn lock(tx: &mut Tx<'_>, sku: &Sku) -> Result<Option<Goods>, DbError> {
    let locked = goods::table.find(sku).select(Goods::as_select()).for_update();
    Ok(locked.first(&mut **tx).await.optional()?)
}

/// The shelves of these goods, locked in the order of their SKUs, so that two orders never wait for each other.
pub async fn lock_shelves(
    tx: &mut Tx<'_>,
    skus: impl Iterator<Item = &Sku>,
) -> Result<BTreeMap<Sku, Shelf>, DbError> {
    let skus: Vec<&Sku> = skus.collect();
    let locked = goods::table
        .filter(goods::sku.eq_any(skus))
        .order(goods::sku)
        .select(Goods::as_select())
        .for_update();
    let rows: Vec<Goods> = locked.load(&mut **tx).await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.sku.clone(), row.shelf()))
        .collect())
}

/// Goods after `after`, by SKU.
pub async fn after(tx: &mut Tx<'_>, after: Option<Sku>, limit: i64) -> Result<Vec<Goods>, DbError> {
    let mut listed = goods::table.into_boxed();
    if let Some(after) = after {
        listed = listed.filter(goods::sku.gt(after));
    }
    Ok(listed
        .order(goods::sku)
        .limit(limit)
        .select(Goods::as_select())
        .load(&mut **tx)
        .await?)
}

/// Lists goods under a name and price, or changes these.
pub async fn list(tx: &mut Tx<'_>, sku: &Sku, name: &str, price: Money) -> Result<Goods, DbError> {
    let new = (goods::sku.eq(sku), goods::name.eq(name), goods::price.eq(price));
    let listed = diesel::insert_into(goods::table)
        .values(new)
        .on_conflict(goods::sku)
        .do_update()
        .set((
            goods::name.eq(name),
            goods::price.eq(price),
            goods::version.eq(goods::version + 1),
        ))
        .returning(Goods::as_returning());
    Ok(listed.get_result(&mut **tx).await?)
}

pub async fn save_shelf(tx: &mut Tx<'_>, sku: &Sku, shelf: Shelf) -> Result<(), DbError> {
    let new = (
        goods::on_hand.eq(shelf.on_hand),
        goods::reserved.eq(shelf.reserved),
    );
    let change = diesel::update(goods::table.find(sku)).set(new);
    let saved = cached(change).execute(&mut **tx).await?;
    DbError::expect_rows("changing a shelf", 1, saved)
}
