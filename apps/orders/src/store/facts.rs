use chrono::{DateTime, Utc};
use db::{DbError, Tx};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use kernel::OrderId;

use super::schema::order_facts;
use crate::domain::facts::{Fact, Facts};

/// A fact as it was learnt: the first of an order has the number 1.
#[derive(Clone, Debug)]
pub struct Learnt {
    pub number: i32,
    pub fact: Fact,
    pub at: DateTime<Utc>,
}

/// All that is known of an order.
pub async fn of(tx: &mut Tx<'_>, order_id: OrderId) -> Result<Facts, DbError> {
    let mut facts = Facts::default();
    for Learnt { fact, at, .. } in learnt(tx, order_id).await? {
        facts.add(fact, at);
    }
    Ok(facts)
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
            let fact = serde_json::from_value(fact)
                .map_err(|error| DbError::Query(diesel::result::Error::DeserializationError(error.into())))?;
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

pub async fn add(tx: &mut Tx<'_>, order_id: OrderId, learnt: &Learnt) -> Result<(), DbError> {
    let json = serde_json::to_value(&learnt.fact).expect("facts are plain enums, which are always JSON");
    let kind = json["kind"].as_str().unwrap_or_default().to_owned();
    let new = (
        order_facts::order_id.eq(order_id),
        order_facts::kind.eq(kind),
        order_facts::fact.eq(json),
        order_facts::at.eq(learnt.at),
        order_facts::number.eq(learnt.number),
    );
    let added = diesel::insert_into(order_facts::table)
        .values(new)
        .execute(&mut **tx)
        .await?;
    DbError::expect_rows("adding a fact", 1, added)
}
