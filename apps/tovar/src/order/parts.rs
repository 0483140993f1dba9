//! What each service stores about an order.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Client;
use uuid::Uuid;

/// What the service orders stores about it.
#[derive(Debug, Serialize)]
pub struct OrderHead {
    pub user_id: Uuid,
    pub status: String,
    pub reason: Option<String>,
    /// In minor units.
    pub total: i64,
    pub currency: String,
    pub placed_at: DateTime<Utc>,
    pub deadline: Option<DateTime<Utc>>,
    /// Why an operator must look at it; `None` if none must.
    pub needs_attention: Option<String>,
    /// The facts, in the order in which orders learnt them.
    pub facts: Vec<Fact>,
}

#[derive(Debug, Serialize)]
pub struct Fact {
    pub at: DateTime<Utc>,
    pub kind: String,
    pub details: Value,
}

/// What one service stores about it.
#[derive(Debug, Serialize)]
pub struct Part {
    pub service: &'static str,
    /// `None` if the service does not know the order.
    pub state: Option<String>,
    pub since: Option<DateTime<Utc>>,
    pub detail: Option<String>,
}

const ORDER: &str =
    "SELECT user_id, status, outcome_reason, total, currency, placed_at, deadline, attention
    FROM orders WHERE id = $1";
const FACTS: &str =
    "SELECT at, kind, fact::text FROM order_facts WHERE order_id = $1 ORDER BY at, kind";

pub async fn head(client: &Client, id: Uuid) -> anyhow::Result<Option<OrderHead>> {
    let Some(row) = client.query_opt(ORDER, &[&id]).await? else {
        return Ok(None);
    };
    let facts = client.query(FACTS, &[&id]).await?;
    let facts = facts.iter().map(|row| {
        Ok(Fact {
            at: row.get(0),
            kind: row.get(1),
            details: serde_json::from_str(row.get(2))?,
        })
    });
    Ok(Some(OrderHead {
        user_id: row.get(0),
        status: row.get(1),
        reason: row.get(2),
        total: row.get(3),
        currency: row.get(4),
        placed_at: row.get(5),
        deadline: row.get(6),
        needs_attention: row.get(7),
        facts: facts.collect::<anyhow::Result<_>>()?,
    }))
}

/// For each service a query for state, since and detail. $1: the order, $2: its user.
const PARTS: [(&str, &str); 6] = [
    (
        "users",
        "SELECT 'registered', registered_at, role FROM users WHERE id = $2 AND $1::uuid IS NOT \
         NULL",
    ),
    (
        "billing",
        "SELECT state, changed_at, (SELECT string_agg(kind || ' ' || abs(amount), ', ' ORDER BY at)
           FROM entry_sets e WHERE e.order_id = h.order_id)
         FROM holds h WHERE order_id = $1 AND coalesce($2::uuid, user_id) IS NOT NULL",
    ),
    (
        "orders",
        "SELECT status, (SELECT max(at) FROM order_facts WHERE order_id = id), outcome_reason
         FROM orders WHERE id = $1 AND coalesce($2::uuid, user_id) IS NOT NULL",
    ),
    (
        "warehouse",
        "SELECT state, changed_at, (SELECT string_agg(quantity || ' ' || sku, ', ' ORDER BY sku)
           FROM parcel_lines l WHERE l.order_id = p.order_id)
         FROM parcels p WHERE order_id = $1 AND coalesce($2::uuid, user_id) IS NOT NULL",
    ),
    (
        "delivery",
        "SELECT state, changed_at, CASE WHEN b.zone IS NOT NULL THEN
             format('%s in zone %s, slot %s, until %s', handover, b.zone, slot_id,
             to_char(ends_at, 'YYYY-MM-DD HH24:MI')) END
         FROM bookings b LEFT JOIN slots s ON s.id = slot_id
         WHERE order_id = $1 AND coalesce($2::uuid, user_id) IS NOT NULL",
    ),
    (
        "notifications",
        "SELECT 'told', max(at), string_agg(kind, ', ' ORDER BY at) FROM notifications
         WHERE order_id = $1 AND coalesce($2::uuid, user_id) IS NOT NULL HAVING count(*) > 0",
    ),
];

pub async fn read(
    service: &'static str,
    client: &Client,
    id: Uuid,
    user: Option<Uuid>,
) -> Result<Part, tokio_postgres::Error> {
    let sql = PARTS.iter().find(|(name, _)| *name == service);
    let (_, sql) = sql.expect("each of the six services has its part");
    let row = client.query_opt(*sql, &[&id, &user]).await?;
    Ok(Part {
        service,
        state: row.as_ref().map(|row| row.get(0)),
        since: row.as_ref().and_then(|row| row.get(1)),
        detail: row.as_ref().and_then(|row| row.get(2)),
    })
}
