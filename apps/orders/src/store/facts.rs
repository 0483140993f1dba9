use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use db::{DbError, Tx, UnknownValue, cached};
use diesel::{
    prelude::*,
    sql_query,
    sql_types::{Array, Integer, Jsonb, Timestamptz, Uuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::OrderId;
use serde::Deserialize;

use super::schema::order_facts;
use crate::domain::facts::{Fact, Facts};

/// A fact of an order with its number: the order's facts are counted from 1, in the sequence of
/// their arrival.
#[derive(Clone, Debug)]
pub struct NumberedFact {
    pub number: i32,
    pub fact: Fact,
    pub at: DateTime<Utc>,
}

/// The facts of these orders.
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

/// The facts of an order.
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

/// The facts of an order, by number.
pub async fn numbered(tx: &mut Tx<'_>, order_id: OrderId) -> Result<Vec<NumberedFact>, DbError> {
    let known = order_facts::table.filter(order_facts::order_id.eq(order_id));
    let rows: Vec<(i32, serde_json::Value, DateTime<Utc>)> = known
        .order(order_facts::number)
        .select((order_facts::number, order_facts::fact, order_facts::at))
        .load(&mut **tx)
        .await?;
    rows.into_iter()
        .map(|(number, fact, at)| {
            let fact = read(&fact)?;
            Ok(NumberedFact { number, fact, at })
        })
        .collect()
}

#[derive(QueryableByName)]
struct FactRow {
    #[diesel(sql_type = Uuid)]
    order_id: OrderId,
    #[diesel(sql_type = Integer)]
    number: i32,
    #[diesel(sql_type = Jsonb)]
    fact: serde_json::Value,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
}

/// Facts of an order, by number; an error if a newer release wrote one of them.
type OfOrder = Result<Vec<NumberedFact>, UnknownValue>;

/// The facts of each of these orders that have a higher number than the one given with the order.
pub async fn newer(
    tx: &mut Tx<'_>,
    orders: &[(OrderId, i32)],
) -> Result<BTreeMap<OrderId, OfOrder>, DbError> {
    let (ids, numbers): (Vec<OrderId>, Vec<i32>) = orders.iter().copied().unzip();
    // With arrays it is one prepared statement for any number of orders.
    let query = sql_query(
        "SELECT order_id, number, fact, at FROM unnest($1, $2) AS seen (id, last)
         JOIN order_facts ON order_id = id AND number > last ORDER BY order_id, number",
    )
    .bind::<Array<Uuid>, _>(ids)
    .bind::<Array<Integer>, _>(numbers);
    let rows: Vec<FactRow> = cached(query).load(&mut **tx).await?;
    let mut newer = BTreeMap::<OrderId, OfOrder>::new();
    for FactRow {
        order_id,
        number,
        fact,
        at,
    } in rows
    {
        let fact = read(&fact).map(|fact| NumberedFact { number, fact, at });
        let of_order = newer.entry(order_id).or_insert_with(|| Ok(Vec::new()));
        match (of_order, fact) {
            (Ok(facts), Ok(fact)) => facts.push(fact),
            (of_order @ Ok(_), Err(error)) => *of_order = Err(error),
            (Err(_), _) => {}
        }
    }
    Ok(newer)
}
