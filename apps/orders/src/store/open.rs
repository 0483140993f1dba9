//! Orders under way: each is locked and read with its facts.

use chrono::{DateTime, Utc};
use db::{DbError, LockedRow, Tx, cached};
use diesel::{
    prelude::*,
    sql_query,
    sql_types::{Array, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::{OrderId, UserId, Zone};

use super::{
    facts::{self, NumberedFact},
    schema::orders,
};
use crate::domain::{
    facts::{Fact, Facts},
    status::Status,
};

/// What is derived from the facts of an order, for lists and the sweeper.
#[derive(Clone)]
pub struct Derived {
    pub status: Status,
    pub reason: Option<String>,
    pub deadline: Option<DateTime<Utc>>,
}

/// An order, its customer and its zone.
#[derive(Clone)]
pub struct OrderParty {
    pub order_id: OrderId,
    pub user_id: UserId,
    pub zone: Zone,
}

/// An order that a transaction has locked.
#[derive(Clone)]
pub struct Order {
    user_id: UserId,
    zone: Zone,
    known: Facts,
    /// The facts that the table does not have yet.
    new_facts: Vec<NumberedFact>,
    derived: Option<Derived>,
}

impl LockedRow for Order {
    type Key = OrderId;
    const WHAT: &'static str = "saving orders";

    async fn lock(
        conn: &mut AsyncPgConnection,
        ids: Vec<OrderId>,
    ) -> Result<Vec<(OrderId, Self)>, DbError> {
        let locked = orders::table
            .filter(orders::id.eq_any(&ids))
            .order(orders::id)
            .select((orders::id, orders::user_id, orders::zone))
            .for_update();
        let owners: Vec<(OrderId, UserId, Zone)> = locked.load(conn).await?;
        // Read after the lock, so that facts are seen which another transaction added meanwhile.
        let mut facts = facts::of_all(conn, &ids).await?;
        let orders = owners.into_iter().map(|(id, user_id, zone)| {
            let order = Self {
                user_id,
                zone,
                known: facts.remove(&id).unwrap_or_default(),
                new_facts: Vec::new(),
                derived: None,
            };
            (id, order)
        });
        Ok(orders.collect())
    }

    async fn update(
        conn: &mut AsyncPgConnection,
        orders: Vec<(OrderId, Self)>,
    ) -> Result<usize, DbError> {
        let (mut new_facts, mut derived) = (Vec::new(), Vec::new());
        for (id, order) in orders {
            new_facts.extend(order.new_facts.into_iter().map(|fact| (id, fact)));
            derived.extend(order.derived.map(|derived| (id, derived)));
        }
        add_facts(conn, new_facts).await?;
        save_derived(conn, derived).await
    }
}

/// Locks an order until the transaction ends, and reads its facts.
pub async fn lock(
    tx: &mut Tx<'_>,
    order_id: OrderId,
) -> Result<Option<(OrderParty, Facts)>, DbError> {
    let order: Option<Order> = tx.lock_row(&order_id).await?;
    Ok(order.map(|order| {
        let Order {
            user_id,
            zone,
            known,
            ..
        } = order;
        let party = OrderParty {
            order_id,
            user_id,
            zone,
        };
        (party, known)
    }))
}

/// Adds facts to a locked order, and what is derived from all its facts then.
pub fn save(tx: &mut Tx<'_>, id: OrderId, new_facts: Vec<NumberedFact>, derived: Derived) {
    let order: Option<&Order> = tx.locked_row(&id);
    let mut order = order
        .expect("an order is locked before it is changed")
        .clone();
    for fact in new_facts {
        order.known.add(fact.fact.clone(), fact.at);
        order.new_facts.push(fact);
    }
    order.derived = Some(derived);
    tx.save_row(id, order);
}

/// Adds facts to orders.
pub async fn add_facts(
    conn: &mut AsyncPgConnection,
    new_facts: Vec<(OrderId, NumberedFact)>,
) -> Result<(), DbError> {
    let expected = new_facts.len();
    let (mut ids, mut kinds, mut facts) = (Vec::new(), Vec::new(), Vec::new());
    let (mut times, mut numbers) = (Vec::new(), Vec::new());
    for (id, NumberedFact { number, fact, at }) in new_facts {
        ids.push(id);
        kinds.push(fact.kind().as_str());
        facts.push(json(&fact));
        times.push(at);
        numbers.push(number);
    }
    let query = sql_query(
        "INSERT INTO order_facts (order_id, kind, fact, at, number)
         SELECT * FROM unnest($1, $2, $3, $4, $5)",
    )
    .bind::<Array<Uuid>, _>(ids)
    .bind::<Array<Text>, _>(kinds)
    .bind::<Array<Jsonb>, _>(facts)
    .bind::<Array<Timestamptz>, _>(times)
    .bind::<Array<Integer>, _>(numbers);
    DbError::expect_rows("adding facts", expected, cached(query).execute(conn).await?)
}

fn json(fact: &Fact) -> serde_json::Value {
    serde_json::to_value(fact).expect("facts are plain enums, which are always JSON")
}

async fn save_derived(
    conn: &mut AsyncPgConnection,
    derived: Vec<(OrderId, Derived)>,
) -> Result<usize, DbError> {
    let (mut ids, mut statuses) = (Vec::new(), Vec::new());
    let (mut reasons, mut deadlines) = (Vec::new(), Vec::new());
    for (id, derived) in derived {
        ids.push(id);
        statuses.push(derived.status.as_str());
        reasons.push(derived.reason);
        deadlines.push(derived.deadline);
    }
    // The orders went on, so they need attention no more; the next deadline may ask for it again.
    let query = sql_query(
        "UPDATE orders SET status = new.status, outcome_reason = new.reason,
           deadline = new.deadline, attention = NULL
         FROM unnest($1, $2, $3, $4) AS new (id, status, reason, deadline)
         WHERE orders.id = new.id",
    )
    .bind::<Array<Uuid>, _>(ids)
    .bind::<Array<Text>, _>(statuses)
    .bind::<Array<Nullable<Text>>, _>(reasons)
    .bind::<Array<Nullable<Timestamptz>>, _>(deadlines);
    Ok(cached(query).execute(conn).await?)
}
