//! Parked events: those that Kafka refused for good, and the later ones of their keys, which wait
//! behind them.
//!
//! An operator only changes the state of their rows. The relay acts on it, because only the relay
//! knows in which order it sends: while rows of a key are parked or in replay, every later event of
//! that key is parked behind them.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use tokio_postgres::{Client, GenericClient, Row, Transaction};
use uuid::Uuid;

use crate::log::{LogError, OutboxEvent, Session};

/// A topic and a key of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TopicKey {
    pub topic: String,
    pub key: String,
}

/// An event that is parked, in replay or discarded, for an operator.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ParkedEvent {
    pub position: i64,
    pub id: Uuid,
    pub topic: String,
    pub key: String,
    #[serde(rename = "type")]
    pub event_type: String,
    pub reason: String,
    pub parked_at: DateTime<Utc>,
    pub state: String,
}

const COLUMNS: &str = "position, id, topic, key, type, payload, headers, recorded_at";

impl Session {
    /// The keys that have parked rows, and whether an operator wants them replayed.
    pub async fn parked_keys(&self) -> Result<Vec<(TopicKey, bool)>, LogError> {
        let sql = "SELECT topic, key, bool_or(state = 'replay') FROM outbox_parked
                   WHERE state IN ('parked', 'replay') GROUP BY topic, key";
        let rows = self.client.query(sql, &[]).await?;
        Ok(rows
            .iter()
            .map(|row| {
                (
                    TopicKey {
                        topic: row.get(0),
                        key: row.get(1),
                    },
                    row.get(2),
                )
            })
            .collect())
    }

    /// Parks an event: copies it out of the log. When this returns the copy is on disk, and the
    /// event counts as acknowledged.
    pub async fn park(&mut self, event: &OutboxEvent, reason: &str) -> Result<(), LogError> {
        let transaction = begin_exclusive(&mut self.client).await?;
        let state = state_of(&transaction, event).await?.unwrap_or(PARKED);
        insert(&transaction, event, reason, state).await?;
        Ok(transaction.commit().await?)
    }

    /// Parks an event behind earlier ones of its key, in replay if these are in replay. Returns
    /// `false` if no earlier one waits: an operator discarded them, or all that wait are later
    /// ones.
    pub async fn park_behind(&mut self, event: &OutboxEvent) -> Result<bool, LogError> {
        let transaction = begin_exclusive(&mut self.client).await?;
        let Some(state) = state_of(&transaction, event).await? else {
            return Ok(false);
        };
        insert(
            &transaction,
            event,
            "an earlier event of its key is parked",
            state,
        )
        .await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Whether the event at this position is parked or discarded, and not in replay.
    pub async fn is_parked_or_discarded(&self, position: i64) -> Result<bool, LogError> {
        let sql =
            "SELECT FROM outbox_parked WHERE position = $1 AND state IN ('parked', 'discarded')";
        Ok(self.client.query_opt(sql, &[&position]).await?.is_some())
    }

    /// The first event of a key that is in replay. The relay asks before each one, because an
    /// operator may discard the rest meanwhile.
    pub async fn next_in_replay(&self, key: &TopicKey) -> Result<Option<OutboxEvent>, LogError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM outbox_parked WHERE topic = $1 AND key = $2 AND state = 'replay'
             ORDER BY position LIMIT 1"
        );
        let row = self.client.query_opt(&sql, &[&key.topic, &key.key]).await?;
        Ok(row.map(OutboxEvent::new))
    }

    /// The highest position of a discarded event; `None` if there is none.
    pub async fn last_discarded(&self) -> Result<Option<i64>, LogError> {
        let sql = "SELECT max(position) FROM outbox_parked WHERE state = 'discarded'";
        Ok(self.client.query_one(sql, &[]).await?.get(0))
    }

    /// The positions of the discarded events from one position to another. A relay that starts
    /// again may read them once more, and must not send them.
    pub async fn discarded(&self, from: i64, to: i64) -> Result<HashSet<i64>, LogError> {
        let sql = "SELECT position FROM outbox_parked
                   WHERE state = 'discarded' AND position BETWEEN $1 AND $2";
        let rows = self.client.query(sql, &[&from, &to]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Notes that Kafka has acknowledged an event in replay.
    pub async fn mark_replayed(&self, position: i64) -> Result<(), LogError> {
        let sql = "UPDATE outbox_parked SET state = 'sent', changed_at = now() WHERE position = $1";
        self.client.execute(sql, &[&position]).await?;
        Ok(())
    }

    /// Parks an event again that Kafka refused in its replay, and all that wait behind it. It is
    /// one statement: otherwise a relay that ends in between would send those behind the event
    /// before it.
    pub async fn park_again(&self, position: i64, reason: &str) -> Result<(), LogError> {
        let sql = "UPDATE outbox_parked p SET state = 'parked', changed_at = now(),
                     reason = CASE WHEN p.position = $1 THEN $2 ELSE p.reason END
                   FROM outbox_parked first
                   WHERE first.position = $1 AND p.topic = first.topic AND p.key = first.key
                     AND p.state = 'replay'";
        self.client.execute(sql, &[&position, &reason]).await?;
        Ok(())
    }
}

const PARKED: &str = "parked";
const REPLAY: &str = "replay";
const DISCARDED: &str = "discarded";

/// Begins a transaction that no other change of parked events runs beside. Without the lock, the
/// states that the transaction has read could change before it writes.
async fn begin_exclusive(client: &mut Client) -> Result<Transaction<'_>, LogError> {
    let transaction = client.transaction().await?;
    let lock =
        "SET LOCAL synchronous_commit = on; LOCK TABLE outbox_parked IN SHARE ROW EXCLUSIVE MODE";
    transaction.batch_execute(lock).await?;
    Ok(transaction)
}

/// The state of the parked events of this event's key, up to its own position; `None` if there are
/// none. Later ones do not count: a relay that starts again may read an event once more that comes
/// before all that are parked.
async fn state_of(
    client: &impl GenericClient,
    event: &OutboxEvent,
) -> Result<Option<&'static str>, LogError> {
    let sql = "SELECT bool_or(state = 'replay') FROM outbox_parked
               WHERE topic = $1 AND key = $2 AND position <= $3 AND state IN ('parked', 'replay')";
    let row = client
        .query_one(sql, &[&event.topic(), &event.key(), &event.position()])
        .await?;
    let in_replay: Option<bool> = row.get(0);
    Ok(in_replay.map(|in_replay| if in_replay { REPLAY } else { PARKED }))
}

/// Inserts an event into the parked ones. A relay that starts again may park an event once more;
/// the row then stays as it is, unless the event was replayed and sent meanwhile.
async fn insert(
    client: &impl GenericClient,
    event: &OutboxEvent,
    reason: &str,
    state: &str,
) -> Result<(), LogError> {
    let sql = format!(
        "INSERT INTO outbox_parked ({COLUMNS}, reason, state)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (position) DO UPDATE
           SET state = excluded.state, reason = excluded.reason, changed_at = now()
         WHERE outbox_parked.state = 'sent'"
    );
    let (position, id, recorded_at) = (event.position(), event.id(), event.recorded_at());
    client
        .execute(
            &sql,
            &[
                &position,
                &id,
                &event.topic(),
                &event.key(),
                &event.event_type(),
                &event.payload(),
                &event.traceparent(),
                &recorded_at,
                &reason,
                &state,
            ],
        )
        .await?;
    Ok(())
}

/// Every event that is parked, in replay or discarded, by position.
pub async fn list(client: &Client) -> Result<Vec<ParkedEvent>, LogError> {
    let sql = "SELECT position, id, topic, key, type, reason, parked_at, state FROM outbox_parked
               WHERE state <> 'sent' ORDER BY position";
    let read = |row: &Row| ParkedEvent {
        position: row.get(0),
        id: row.get(1),
        topic: row.get(2),
        key: row.get(3),
        event_type: row.get(4),
        reason: row.get(5),
        parked_at: row.get(6),
        state: row.get(7),
    };
    Ok(client.query(sql, &[]).await?.iter().map(read).collect())
}

/// Has the relay send the parked and discarded events of a key, in their order; returns how many
/// there are.
pub async fn replay(client: &mut Client, key: &TopicKey, operator: &str) -> Result<u64, LogError> {
    change(
        client,
        key,
        operator,
        "replay",
        REPLAY,
        &[PARKED, DISCARDED],
    )
    .await
}

/// Discards the parked events of a key, so that later ones go on; returns how many there are. They
/// can still be replayed.
pub async fn discard(client: &mut Client, key: &TopicKey, operator: &str) -> Result<u64, LogError> {
    change(
        client,
        key,
        operator,
        "discard",
        DISCARDED,
        &[PARKED, REPLAY],
    )
    .await
}

/// Changes the state of a key's events, records the operation, and wakes the relay.
async fn change(
    client: &mut Client,
    key: &TopicKey,
    operator: &str,
    operation: &str,
    to: &str,
    from: &[&str],
) -> Result<u64, LogError> {
    let transaction = begin_exclusive(client).await?;
    let sql = "UPDATE outbox_parked SET state = $3, changed_at = now(), changed_by = $4
               WHERE topic = $1 AND key = $2 AND state = ANY($5)";
    let changed = transaction
        .execute(sql, &[&key.topic, &key.key, &to, &operator, &from])
        .await?;
    audit(&transaction, operator, operation, key, changed).await?;
    transaction
        .execute("SELECT pg_notify('outbox', '')", &[])
        .await?;
    transaction.commit().await?;
    Ok(changed)
}

async fn audit(
    client: &impl GenericClient,
    operator: &str,
    operation: &str,
    key: &TopicKey,
    events: u64,
) -> Result<(), LogError> {
    let sql = "INSERT INTO outbox_operations (who, operation, details)
               VALUES ($1, $2, jsonb_build_object(
                 'topic', $3::text, 'key', $4::text, 'events', $5::bigint))";
    let events = i64::try_from(events).unwrap_or(i64::MAX);
    client
        .execute(sql, &[&operator, &operation, &key.topic, &key.key, &events])
        .await?;
    Ok(())
}
