use chrono::{DateTime, Utc};
use db::{DbError, DeferredWrite, Tx, cached};
use diesel::{
    prelude::*,
    sql_query,
    sql_types::{Array, BigInt, Nullable, Text, Uuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::{FutureExt, future::BoxFuture};
use kernel::{Id, OrderId, Sku};

use super::schema::movements;

pub type MovementId = Id<Movement>;

/// Pieces of one SKU that came or went.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = movements)]
#[diesel(check_for_backend(diesel::pg::Pg))]
pub struct Movement {
    pub id: MovementId,
    pub at: DateTime<Utc>,
    pub kind: String,
    pub quantity: i64,
    pub order_id: Option<OrderId>,
}

/// Movements, which are written together when the transaction commits.
#[derive(Default)]
struct UnwrittenMovements {
    ids: Vec<MovementId>,
    skus: Vec<Sku>,
    kinds: Vec<&'static str>,
    quantities: Vec<i64>,
    orders: Vec<Option<OrderId>>,
}

impl DeferredWrite for UnwrittenMovements {
    fn write(self: Box<Self>, conn: &mut AsyncPgConnection) -> BoxFuture<'_, Result<(), DbError>> {
        let expected = self.ids.len();
        let query = sql_query(
            "INSERT INTO movements (id, sku, kind, quantity, order_id)
             SELECT * FROM unnest($1, $2, $3, $4, $5)",
        )
        .bind::<Array<Uuid>, _>(self.ids)
        .bind::<Array<Text>, _>(self.skus)
        .bind::<Array<Text>, _>(self.kinds)
        .bind::<Array<BigInt>, _>(self.quantities)
        .bind::<Array<Nullable<Uuid>>, _>(self.orders);
        async move {
            let recorded = cached(query).execute(conn).await?;
            DbError::expect_rows("recording movements", expected, recorded)
        }
        .boxed()
    }
}

/// Records pieces that come, or with a negative `quantity` go.
pub fn record(
    tx: &mut Tx<'_>,
    sku: &Sku,
    kind: &'static str,
    quantity: i64,
    order_id: Option<OrderId>,
) -> MovementId {
    let id = MovementId::new();
    let unwritten: &mut UnwrittenMovements = tx.deferred();
    unwritten.ids.push(id);
    unwritten.skus.push(sku.clone());
    unwritten.kinds.push(kind);
    unwritten.quantities.push(quantity);
    unwritten.orders.push(order_id);
    id
}

/// The SKU's movements that are older than `after`, the newest first.
pub async fn of_sku(
    tx: &mut Tx<'_>,
    sku: &Sku,
    after: Option<MovementId>,
    limit: i64,
) -> Result<Vec<Movement>, DbError> {
    let mut found = movements::table.filter(movements::sku.eq(sku)).into_boxed();
    if let Some(after) = after {
        found = found.filter(movements::id.lt(after));
    }
    Ok(found
        .order(movements::id.desc())
        .limit(limit)
        .select(Movement::as_select())
        .load(&mut **tx)
        .await?)
}
