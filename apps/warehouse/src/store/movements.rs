use chrono::{DateTime, Utc};
use db::{DbError, Tx};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use kernel::{Id, OrderId, Sku};

use super::schema::movements;

pub type MovementId = Id<Movement>;

/// What came or went of one SKU.
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

pub async fn record(
    tx: &mut Tx<'_>,
    sku: &Sku,
    kind: &str,
    quantity: i64,
    order_id: Option<OrderId>,
) -> Result<MovementId, DbError> {
    let id = MovementId::new();
    let new = (
        movements::id.eq(id),
        movements::sku.eq(sku),
        movements::kind.eq(kind),
        movements::quantity.eq(quantity),
        movements::order_id.eq(order_id),
    );
    let recorded = diesel::insert_into(movements::table)
        .values(new)
        .execute(&mut **tx)
        .await?;
    DbError::expect_rows("recording a movement", 1, recorded)?;
    Ok(id)
}

/// The SKU's movements before `after`, the newest first.
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
