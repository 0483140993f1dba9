use chrono::{DateTime, Utc};
use contracts::{Line, OrderSheet};
use db::{DbError, Tx};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use kernel::{Money, OrderId, Sku, SlotId, UserId, Zone};

use super::schema::{order_lines, orders};
use crate::domain::status::Status;

pub async fn add(
    tx: &mut Tx<'_>,
    order: &OrderSheet,
    key: &str,
    placed_at: DateTime<Utc>,
    deadline: Option<DateTime<Utc>>,
) -> Result<(), DbError> {
    let new = (
        orders::id.eq(order.order_id),
        orders::user_id.eq(order.user_id),
        orders::idempotency_key.eq(key),
        orders::zone.eq(&order.zone),
        orders::slot_id.eq(order.slot_id),
        orders::currency.eq(order.currency.as_str()),
        orders::total.eq(order.total),
        orders::status.eq(Status::Placed.as_str()),
        orders::deadline.eq(deadline),
        orders::placed_at.eq(placed_at),
    );
    let added = diesel::insert_into(orders::table)
        .values(new)
        .execute(&mut **tx)
        .await?;
    DbError::expect_rows("adding an order", 1, added)?;
    let lines: Vec<_> = order
        .lines
        .iter()
        .map(|line| {
            (
                order_lines::order_id.eq(order.order_id),
                order_lines::sku.eq(&line.sku),
                order_lines::quantity.eq(i64::from(line.quantity)),
                order_lines::unit_price.eq(line.unit_price),
            )
        })
        .collect();
    let added = diesel::insert_into(order_lines::table)
        .values(lines)
        .execute(&mut **tx)
        .await?;
    DbError::expect_rows("adding an order's lines", order.lines.len(), added)
}

/// Locks the order until the transaction ends; whose it is.
pub async fn lock(tx: &mut Tx<'_>, id: OrderId) -> Result<Option<UserId>, DbError> {
    let row = orders::table.find(id).select(orders::user_id).for_update();
    Ok(row.first(&mut **tx).await.optional()?)
}

/// Saves what follows from the facts.
pub async fn save_derived(
    tx: &mut Tx<'_>,
    id: OrderId,
    status: Status,
    reason: Option<&str>,
    deadline: Option<DateTime<Utc>>,
) -> Result<(), DbError> {
    let new = (
        orders::status.eq(status.as_str()),
        orders::outcome_reason.eq(reason),
        orders::deadline.eq(deadline),
    );
    let saved = diesel::update(orders::table.find(id))
        .set(new)
        .execute(&mut **tx)
        .await?;
    DbError::expect_rows("saving an order's status", 1, saved)
}

type Row = (Zone, SlotId, String, Money, Option<DateTime<Utc>>);

/// An order of this owner's, with its deadline.
pub async fn of_owner(
    tx: &mut Tx<'_>,
    id: OrderId,
    owner: UserId,
) -> Result<Option<(OrderSheet, Option<DateTime<Utc>>)>, DbError> {
    let columns = (
        orders::zone,
        orders::slot_id,
        orders::currency,
        orders::total,
        orders::deadline,
    );
    let row = orders::table
        .find(id)
        .filter(orders::user_id.eq(owner))
        .select(columns);
    let row: Option<Row> = row.first(&mut **tx).await.optional()?;
    let Some((zone, slot_id, currency, total, deadline)) = row else {
        return Ok(None);
    };
    let lines = order_lines::table
        .filter(order_lines::order_id.eq(id))
        .order(order_lines::sku);
    let columns = (order_lines::sku, order_lines::quantity, order_lines::unit_price);
    let lines: Vec<(Sku, i64, Money)> = lines.select(columns).load(&mut **tx).await?;
    let lines = lines.into_iter().map(|(sku, quantity, unit_price)| Line {
        sku,
        quantity: u32::try_from(quantity).unwrap_or(u32::MAX),
        unit_price,
    });
    let sheet = OrderSheet {
        order_id: id,
        user_id: owner,
        lines: lines.collect(),
        currency: currency.parse().expect("the table holds currencies only"),
        total,
        zone,
        slot_id,
    };
    Ok(Some((sheet, deadline)))
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = orders)]
#[diesel(check_for_backend(diesel::pg::Pg))]
pub struct Summary {
    pub id: OrderId,
    pub status: String,
    pub outcome_reason: Option<String>,
    pub total: Money,
    pub placed_at: DateTime<Utc>,
}

/// The owner's orders before `after`, the newest first.
pub async fn list(
    tx: &mut Tx<'_>,
    owner: UserId,
    status: Option<Status>,
    after: Option<OrderId>,
    limit: i64,
) -> Result<Vec<Summary>, DbError> {
    let mut found = orders::table.filter(orders::user_id.eq(owner)).into_boxed();
    if let Some(status) = status {
        found = found.filter(orders::status.eq(status.as_str()));
    }
    if let Some(after) = after {
        found = found.filter(orders::id.lt(after));
    }
    Ok(found
        .order(orders::id.desc())
        .limit(limit)
        .select(Summary::as_select())
        .load(&mut **tx)
        .await?)
}
