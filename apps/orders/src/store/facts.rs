use chrono::{DateTime, Utc};
use db::{DbError, Tx};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use kernel::OrderId;

use super::schema::order_facts;
use crate::domain::facts::{Fact, Facts};

/// All that is known of an order.
pub async fn of(tx: &mut Tx<'_>, order_id: OrderId) -> Result<Facts, DbError> {
    let known = order_facts::table.filter(order_facts::order_id.eq(order_id));
    let rows: Vec<(serde_json::Value, DateTime<Utc>)> = known
        .select((order_facts::fact, order_facts::at))
        .load(&mut **tx)
        .await?;
    let mut facts = Facts::default();
    for (fact, at) in rows {
        let fact = serde_json::from_value(fact)
            .map_err(|error| DbError::Query(diesel::result::Error::DeserializationError(error.into())))?;
        facts.add(fact, at);
    }
    Ok(facts)
}

pub async fn add(tx: &mut Tx<'_>, order_id: OrderId, fact: &Fact, at: DateTime<Utc>) -> Result<(), DbError> {
    let json = serde_json::to_value(fact).expect("facts are plain enums, which are always JSON");
    let kind = json["kind"].as_str().unwrap_or_default().to_owned();
    let new = (
        order_facts::order_id.eq(order_id),
        order_facts::kind.eq(kind),
        order_facts::fact.eq(json),
        order_facts::at.eq(at),
    );
    let added = diesel::insert_into(order_facts::table)
        .values(new)
        .execute(&mut **tx)
        .await?;
    DbError::expect_rows("adding a fact", 1, added)
}
