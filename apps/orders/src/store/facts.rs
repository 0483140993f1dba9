use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use db::{DbError, Tx, UnknownValue};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::OrderId;
use serde::Deserialize;

use super::schema::order_facts;
use crate::domain::facts::{Fact, Facts};

/// A fact as it was learnt: the first of an order has the number 1.
#[derive(Clone, Debug)]
pub struct Learnt {
    pub number: i32,
    pub fact: Fact,
    pub at: DateTime<Utc>,
}

/// All that is known of these orders.
pub async fn of_all(
    conn: &mut AsyncPgConnection,
    ids: &[OrderId],
) -> Result<BTreeMap<OrderId, Facts>, DbError> {
    let known = order_facts::table.filter(order_facts::order_id.eq_any(ids));
    let rows: Vec<(OrderId, serde_json::Value, DateTime<Utc>)> = known
        .select((order_facts::order_id, order_facts::fact, order_facts::at))
        .load(conn)
        .await?;
    let mut facts = BTreeMap::<OrderId, Facts>::new();
    for (order_id, fact, at) in rows {
        facts.entry(order_id).or_default().add(read(&fact)?, at);
    }
    Ok(facts)
}

/// All that is known of an order.
pub async fn of(tx: &mut Tx<'_>, order_id: OrderId) -> Result<Facts, DbError> {
    Ok(of_all(tx, &[order_id])
        .await?
        .remove(&order_id)
        .unwrap_or_default())
}

fn read(fact: &serde_json::Value) -> Result<Fact, UnknownValue> {
    let known = Fact::deserialize(fact).ok();
    UnknownValue::or(known, "a fact of an order", fact.to_string())
}

/// All that is known of an order, as it was learnt.
pub async fn learnt(tx: &mut Tx<'_>, order_id: OrderId) -> Result<Vec<Learnt>, DbError> {
    let known = order_facts::table.filter(order_facts::order_id.eq(order_id));
    let rows: Vec<(i32, serde_json::Value, DateTime<Utc>)> = known
        .order(order_facts::number)
        .select((order_facts::number, order_facts::fact, order_facts::at))
        .load(&mut **tx)
        .await?;
    rows.into_iter()
        .map(|(number, fact, at)| {
            let fact = read(&fact)?;
            Ok(Learnt { number, fact, at })
        })
        .collect()
}

/// How many facts of each of these orders are known.
pub async fn counts(tx: &mut Tx<'_>, orders: &[OrderId]) -> Result<Vec<(OrderId, Option<i32>)>, DbError> {
    let known = order_facts::table
        .filter(order_facts::order_id.eq_any(orders))
        .group_by(order_facts::order_id)
        .select((order_facts::order_id, diesel::dsl::max(order_facts::number)));
    Ok(known.load(&mut **tx).await?)
}
