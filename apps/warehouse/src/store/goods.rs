use std::collections::BTreeMap;

use db::{DbError, LockedRow, Tx, cached};
use diesel::{
    prelude::*,
    sql_query,
    sql_types::{Array, BigInt, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
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

/// The goods, locked until the transaction ends.
pub async fn lock(tx: &mut Tx<'_>, sku: &Sku) -> Result<Option<Goods>, DbError> {
    let locked = goods::table
        .find(sku)
        .select(Goods::as_select())
        .for_update();
    Ok(locked.first(&mut **tx).await.optional()?)
}

impl LockedRow for Shelf {
    type Key = Sku;
    const WHAT: &'static str = "saving shelves";

    async fn lock(
        conn: &mut AsyncPgConnection,
        skus: Vec<Sku>,
    ) -> Result<Vec<(Sku, Self)>, DbError> {
        let locked = goods::table
            .filter(goods::sku.eq_any(skus))
            .order(goods::sku)
            .select(Goods::as_select())
            .for_update();
        let rows: Vec<Goods> = locked.load(conn).await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.sku.clone(), row.shelf()))
            .collect())
    }

    async fn update(
        conn: &mut AsyncPgConnection,
        shelves: Vec<(Sku, Self)>,
    ) -> Result<usize, DbError> {
        let (mut skus, mut on_hand, mut reserved) = (Vec::new(), Vec::new(), Vec::new());
        for (sku, shelf) in shelves {
            skus.push(sku);
            on_hand.push(shelf.on_hand);
            reserved.push(shelf.reserved);
        }
        let query = sql_query(
            "UPDATE goods SET on_hand = new.on_hand, reserved = new.reserved
             FROM unnest($1, $2, $3) AS new (sku, on_hand, reserved) WHERE goods.sku = new.sku",
        )
        .bind::<Array<Text>, _>(skus)
        .bind::<Array<BigInt>, _>(on_hand)
        .bind::<Array<BigInt>, _>(reserved);
        Ok(cached(query).execute(conn).await?)
    }
}

/// The shelf of some goods, locked until the transaction ends.
pub async fn lock_shelf(tx: &mut Tx<'_>, sku: &Sku) -> Result<Option<Shelf>, DbError> {
    tx.lock_row(sku).await
}

/// The shelves of these goods, without those that are not listed, locked until the transaction
/// ends.
pub async fn lock_shelves(
    tx: &mut Tx<'_>,
    skus: impl Iterator<Item = &Sku> + Clone,
) -> Result<BTreeMap<Sku, Shelf>, DbError> {
    tx.lock_rows::<Shelf>(skus.clone().cloned()).await?;
    let shelves = skus.filter_map(|sku| Some((sku.clone(), *tx.locked_row(sku)?)));
    Ok(shelves.collect())
}

/// Saves a locked shelf.
pub fn save_shelf(tx: &mut Tx<'_>, sku: &Sku, shelf: Shelf) {
    tx.save_row(sku.clone(), shelf);
}

/// Goods with a SKU beyond `after`, by SKU.
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

/// Lists goods with a name and a price. `None` if they are listed already.
pub async fn add(
    tx: &mut Tx<'_>,
    sku: &Sku,
    name: &str,
    price: Money,
) -> Result<Option<Goods>, DbError> {
    let new = (
        goods::sku.eq(sku),
        goods::name.eq(name),
        goods::price.eq(price),
    );
    let listed = diesel::insert_into(goods::table)
        .values(new)
        .on_conflict(goods::sku)
        .do_nothing()
        .returning(Goods::as_returning());
    Ok(listed.get_result(&mut **tx).await.optional()?)
}

/// Gives goods that are listed another name and price.
pub async fn change(
    tx: &mut Tx<'_>,
    sku: &Sku,
    name: &str,
    price: Money,
) -> Result<Goods, DbError> {
    let changed = diesel::update(goods::table.find(sku))
        .set((
            goods::name.eq(name),
            goods::price.eq(price),
            goods::version.eq(goods::version + 1),
        ))
        .returning(Goods::as_returning());
    Ok(changed.get_result(&mut **tx).await?)
}
