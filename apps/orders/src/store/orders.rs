use chrono::{DateTime, Utc};
use contracts::{Line, OrderSheet};
use db::{DbError, Tx, UnknownValue, cached};
use diesel::{
    dsl,
    prelude::*,
    sql_query,
    sql_types::{self, Array, BigInt, Text},
};
use diesel_async::RunQueryDsl;
use kernel::{Money, OrderId, Sku, SlotId, UserId, Zone};

use super::schema::{order_lines, orders};
use crate::domain::{attention::Attention, status::Status};

/// Adds an order that was just placed, with its lines.
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
    let (skus, (quantities, prices)): (Vec<&str>, (Vec<i64>, Vec<i64>)) = order
        .lines
        .iter()
        .map(|line| {
            (
                line.sku.as_str(),
                (i64::from(line.quantity), line.unit_price.minor()),
            )
        })
        .unzip();
    // With arrays it is one prepared statement for any number of lines.
    let lines = sql_query(
        "INSERT INTO order_lines (order_id, sku, quantity, unit_price)
         SELECT $1, * FROM unnest($2, $3, $4)",
    )
    .bind::<sql_types::Uuid, _>(order.order_id)
    .bind::<Array<Text>, _>(skus)
    .bind::<Array<BigInt>, _>(quantities)
    .bind::<Array<BigInt>, _>(prices);
    let added = cached(lines).execute(&mut **tx).await?;
    DbError::expect_rows("adding an order's lines", order.lines.len(), added)
}

/// Orders whose deadline has passed by the database's clock and that need no attention yet, the
/// latest first.
pub async fn late(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<OrderId>, DbError> {
    let late = orders::table
        .filter(orders::deadline.lt(dsl::now))
        .filter(orders::attention.is_null());
    let late = late.order(orders::deadline).limit(limit).select(orders::id);
    Ok(late.load(&mut **tx).await?)
}

/// Locks the order, if it is still late and no other transaction has locked it. `true` if it did.
pub async fn lock_late(tx: &mut Tx<'_>, id: OrderId) -> Result<bool, DbError> {
    let late = orders::table
        .find(id)
        .filter(orders::deadline.lt(dsl::now))
        .filter(orders::attention.is_null());
    let row = late.select(orders::id).for_update().skip_locked();
    let locked: Option<OrderId> = row.first(&mut **tx).await.optional()?;
    Ok(locked.is_some())
}

/// Marks an order as one that an operator must look at.
pub async fn ask_for_attention(
    tx: &mut Tx<'_>,
    id: OrderId,
    attention: Attention,
) -> Result<(), DbError> {
    let asked = diesel::update(orders::table.find(id))
        .set(orders::attention.eq(attention.as_str()))
        .execute(&mut **tx)
        .await?;
    DbError::expect_rows("asking for attention", 1, asked)
}

/// The number of orders that are under way, by status. Each of them has a deadline.
pub async fn count_open(tx: &mut Tx<'_>) -> Result<Vec<(String, i64)>, DbError> {
    let counted = orders::table
        .filter(orders::deadline.is_not_null())
        .group_by(orders::status)
        .select((orders::status, diesel::dsl::count_star()));
    Ok(counted.load(&mut **tx).await?)
}

/// When the oldest order under way was placed that has not left yet.
pub async fn oldest_unshipped(tx: &mut Tx<'_>) -> Result<Option<DateTime<Utc>>, DbError> {
    let away = Status::ALL
        .into_iter()
        .filter(|status| status.is_shipped_or_over());
    let oldest = orders::table
        .filter(orders::deadline.is_not_null())
        .filter(orders::status.ne_all(away.map(Status::as_str)))
        .select(diesel::dsl::min(orders::placed_at));
    Ok(oldest.first(&mut **tx).await?)
}

/// The number of orders that are late and wait for the sweeper.
pub async fn count_late(tx: &mut Tx<'_>) -> Result<i64, DbError> {
    let late = orders::table
        .filter(orders::deadline.lt(dsl::now))
        .filter(orders::attention.is_null());
    Ok(late.count().get_result(&mut **tx).await?)
}

/// The number of orders that need attention, for each reason.
pub async fn count_attention(tx: &mut Tx<'_>) -> Result<Vec<(Attention, i64)>, DbError> {
    let counted = orders::table
        .filter(orders::attention.is_not_null())
        .group_by(orders::attention)
        .select((orders::attention, diesel::dsl::count_star()));
    let counted: Vec<(Option<String>, i64)> = counted.load(&mut **tx).await?;
    let of = |attention: Attention| {
        let found = counted
            .iter()
            .find(|(text, _)| text.as_deref() == Some(attention.as_str()));
        (attention, found.map_or(0, |(_, count)| *count))
    };
    Ok(Attention::ALL.map(of).to_vec())
}

/// Whether an order is of this owner.
pub async fn is_of_owner(tx: &mut Tx<'_>, id: OrderId, owner: UserId) -> Result<bool, DbError> {
    let found = orders::table.find(id).filter(orders::user_id.eq(owner));
    Ok(diesel::select(diesel::dsl::exists(found))
        .get_result(&mut **tx)
        .await?)
}

type OrderColumns = (Zone, SlotId, String, Money, Option<DateTime<Utc>>);

/// An order of this owner, with its deadline.
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
    let row: Option<OrderColumns> = row.first(&mut **tx).await.optional()?;
    let Some((zone, slot_id, currency, total, deadline)) = row else {
        return Ok(None);
    };
    let lines = order_lines::table
        .filter(order_lines::order_id.eq(id))
        .order(order_lines::sku);
    let columns = (
        order_lines::sku,
        order_lines::quantity,
        order_lines::unit_price,
    );
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
        currency: UnknownValue::or(currency.parse().ok(), "the currency of an order", currency)?,
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
    pub user_id: UserId,
    pub status: String,
    pub outcome_reason: Option<String>,
    pub attention: Option<String>,
    pub total: Money,
    pub placed_at: DateTime<Utc>,
}

/// Which orders a list has.
#[derive(Clone, Copy, Debug)]
pub enum Scope {
    Of(UserId),
    /// Those of all customers that need attention.
    NeedingAttention,
}

/// Orders that are older than `after`, the newest first.
pub async fn list(
    tx: &mut Tx<'_>,
    scope: Scope,
    status: Option<Status>,
    after: Option<OrderId>,
    limit: i64,
) -> Result<Vec<Summary>, DbError> {
    let mut found = orders::table.into_boxed();
    found = match scope {
        Scope::Of(owner) => found.filter(orders::user_id.eq(owner)),
        Scope::NeedingAttention => found.filter(orders::attention.is_not_null()),
    };
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
