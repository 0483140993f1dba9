//! Reads one database in one snapshot.

use std::collections::HashMap;

use anyhow::Context;
use chrono::{DateTime, Utc};
use tokio_postgres::{Client, Row, Transaction};
use uuid::Uuid;

use super::{invariants::INVARIANTS, order::Parts, report::Finding};
use crate::{database, services::ServiceInfo};

/// A service's database in one snapshot.
pub struct Reading {
    pub service: ServiceInfo,
    pub at: DateTime<Utc>,
    /// The snapshot as text; a transaction that is not visible in it committed later.
    pub snapshot: String,
    /// Contradictions inside this database.
    pub contradictions: Vec<Finding>,
    /// The events that its outbox retains.
    pub published: Vec<Published>,
    /// Events that its outbox has parked and that the relay has not sent since.
    pub parked_in_outbox: HashMap<Uuid, ParkedEvent>,
    /// The events that it applied, with their types.
    pub applied: HashMap<Uuid, String>,
    /// Events that its inbox has parked and not applied since.
    pub parked_in_inbox: HashMap<Uuid, ParkedEvent>,
    pub retried: HashMap<Uuid, Retried>,
    pub orders: Option<Parts>,
}

/// An event that an outbox retains.
pub struct Published {
    pub id: Uuid,
    pub event_type: String,
    pub key: String,
    pub position: i64,
    pub at: DateTime<Utc>,
    /// Kafka had acknowledged it before the reading began.
    pub was_sent: bool,
    /// Kafka has acknowledged it, and each time that it was republished.
    pub is_sent: bool,
}

/// A parked event: it waits for an operator, or is replayed or discarded.
pub struct ParkedEvent {
    pub event_type: String,
    pub key: String,
    pub at: DateTime<Utc>,
    pub state: ParkedState,
    pub reason: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ParkedState {
    Parked,
    Replay,
    Discarded,
}

/// An event for which a partition waits.
pub struct Retried {
    pub event_type: String,
    pub key: String,
    pub since: DateTime<Utc>,
    pub attempts: i32,
    pub error: String,
}

/// $1, $2: what was acknowledged and what was parked before the reading began.
const PUBLISHED: &str = "SELECT id, min(type), min(key), min(outbox.position), min(recorded_at),
      bool_or(pg_visible_in_snapshot(xid, $1::text::pg_snapshot)) AND id <> ALL($2),
      bool_and(pg_visible_in_snapshot(xid, acknowledged))
    FROM outbox, outbox_cursor GROUP BY id";
const PARKED_IN_OUTBOX: &str =
    "SELECT id, type, key, parked_at, state, reason FROM outbox_parked WHERE state <> 'sent'";
const APPLIED: &str = "SELECT event_id, type FROM inbox WHERE consumer = $1";
const PARKED_IN_INBOX: &str =
    "SELECT event_id, type, key, parked_at, state, code || ': ' || reason FROM inbox_parked
    WHERE consumer = $1 AND state <> 'applied'";
const RETRIED: &str =
    "SELECT event_id, type, key, since, attempts, error FROM inbox_blocked b WHERE consumer = $1
    AND NOT EXISTS (SELECT FROM inbox i WHERE i.consumer = b.consumer AND i.event_id = b.event_id)";

/// What Kafka had acknowledged of an outbox at an instant: all that a snapshot sees, but not the
/// parked events.
pub struct Sent {
    acknowledged: String,
    parked: Vec<Uuid>,
}

impl Sent {
    pub async fn read(client: &Client) -> Result<Self, tokio_postgres::Error> {
        let sql = "SELECT acknowledged::text, ARRAY(SELECT id FROM outbox_parked WHERE state <> \
                   'sent') FROM outbox_cursor";
        let row = client.query_one(sql, &[]).await?;
        Ok(Self {
            acknowledged: row.get(0),
            parked: row.get(1),
        })
    }
}

/// Reads a database in one snapshot. `sent` was read before any database.
pub async fn read(
    service: ServiceInfo,
    client: &mut Client,
    sent: &Sent,
    key_hours: u32,
) -> anyhow::Result<Reading> {
    let instant = database::one_instant(client).await?;
    let row = instant
        .query_one(
            "SELECT pg_current_snapshot()::text, clock_timestamp(), set_config('tovar.key_hours', \
             $1, true)",
            &[&key_hours.to_string()],
        )
        .await?;
    let name = &service.name;
    let applied = instant.query(APPLIED, &[name]).await?;
    let reading = Reading {
        service,
        snapshot: row.get(0),
        at: row.get(1),
        contradictions: contradictions(service, &instant).await?,
        published: instant
            .query(PUBLISHED, &[&sent.acknowledged, &sent.parked])
            .await?
            .iter()
            .map(published)
            .collect(),
        parked_in_outbox: by_id(&instant.query(PARKED_IN_OUTBOX, &[]).await?, parked_event),
        applied: by_id(&applied, |row| row.get(1)),
        parked_in_inbox: by_id(
            &instant.query(PARKED_IN_INBOX, &[name]).await?,
            parked_event,
        ),
        retried: by_id(&instant.query(RETRIED, &[name]).await?, retried),
        orders: Parts::read(service.name, &instant).await?,
    };
    instant.rollback().await?;
    Ok(reading)
}

/// The events that the outbox has and that `snapshot` does not see: their ids and keys.
pub async fn published_since(
    client: &Client,
    snapshot: &str,
) -> Result<Vec<(Uuid, String)>, tokio_postgres::Error> {
    let sql = "SELECT id, key FROM outbox WHERE xid >= pg_snapshot_xmin($1::text::pg_snapshot)
               AND NOT pg_visible_in_snapshot(xid, $1::text::pg_snapshot)";
    let rows = client.query(sql, &[&snapshot]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn contradictions(
    service: ServiceInfo,
    instant: &Transaction<'_>,
) -> anyhow::Result<Vec<Finding>> {
    let mut found = Vec::new();
    for invariant in &INVARIANTS {
        for check in invariant
            .checks
            .iter()
            .filter(|check| check.service == service.name)
        {
            let rows = instant
                .query(check.sql, &[])
                .await
                .with_context(|| format!("looking for {}", check.what))?;
            found.extend(rows.iter().map(|row| {
                Finding::violation(invariant.number, check.what, row.get(0), row.get(1))
            }));
        }
    }
    Ok(found)
}

fn by_id<T>(rows: &[Row], read: impl Fn(&Row) -> T) -> HashMap<Uuid, T> {
    rows.iter().map(|row| (row.get(0), read(row))).collect()
}

fn published(row: &Row) -> Published {
    Published {
        id: row.get(0),
        event_type: row.get(1),
        key: row.get(2),
        position: row.get(3),
        at: row.get(4),
        was_sent: row.get(5),
        is_sent: row.get(6),
    }
}

fn parked_event(row: &Row) -> ParkedEvent {
    ParkedEvent {
        event_type: row.get(1),
        key: row.get(2),
        at: row.get(3),
        // The table's CHECK allows only these.
        state: match row.get(4) {
            "parked" => ParkedState::Parked,
            "replay" => ParkedState::Replay,
            _ => ParkedState::Discarded,
        },
        reason: row.get(5),
    }
}

fn retried(row: &Row) -> Retried {
    Retried {
        event_type: row.get(1),
        key: row.get(2),
        since: row.get(3),
        attempts: row.get(4),
        error: row.get(5),
    }
}
