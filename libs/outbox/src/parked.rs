//! Events that Kafka refused for good, and those of their keys that wait behind them.
//!
//! An operator only changes their state. The relay acts on it, because only the relay knows in
//! which order it sends: while rows of a key are parked or in replay, everything of that key goes
//! behind them.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use tokio_postgres::{Client, GenericClient, Row, Transaction};
use uuid::Uuid;

use crate::log::{LogError, Record, Session};

/// A key of a topic.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TopicKey {
    pub topic: String,
    pub key: String,
}

/// A parked event as an operator sees it.
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

    /// Copies an event out of the log, for good: when this returns it is on disk, and counts as
    /// acknowledged.
    pub async fn park(&mut self, record: &Record, reason: &str) -> Result<(), LogError> {
        let transaction = alone(&mut self.client).await?;
        let state = state_of(&transaction, record).await?.unwrap_or(PARKED);
        insert(&transaction, record, reason, state).await?;
        Ok(transaction.commit().await?)
    }

    /// Parks an event behind earlier ones of its key that wait, and in replay behind those; `false`
    /// if none waits: an operator discarded them, or they are later ones.
    pub async fn park_behind(&mut self, record: &Record) -> Result<bool, LogError> {
        let transaction = alone(&mut self.client).await?;
        let Some(state) = state_of(&transaction, record).await? else {
            return Ok(false);
        };
        insert(
            &transaction,
            record,
            "an earlier event of its key is parked",
            state,
        )
        .await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Whether the event at this position was parked before, and is not wanted again.
    pub async fn is_put_aside(&self, position: i64) -> Result<bool, LogError> {
        let sql =
            "SELECT FROM outbox_parked WHERE position = $1 AND state IN ('parked', 'discarded')";
        Ok(self.client.query_opt(sql, &[&position]).await?.is_some())
    }

    /// The first row of a key that is to be sent again. Asked before each: an operator may discard
    /// them meanwhile.
    pub async fn next_in_replay(&self, key: &TopicKey) -> Result<Option<Record>, LogError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM outbox_parked WHERE topic = $1 AND key = $2 AND state = 'replay'
             ORDER BY position LIMIT 1"
        );
        let row = self.client.query_opt(&sql, &[&key.topic, &key.key]).await?;
        Ok(row.map(Record::new))
    }

    /// Up to which position events were discarded; `None` if none was.
    pub async fn last_discarded(&self) -> Result<Option<i64>, LogError> {
        let sql = "SELECT max(position) FROM outbox_parked WHERE state = 'discarded'";
        Ok(self.client.query_one(sql, &[]).await?.get(0))
    }

    /// The discarded events from one position to another: a relay that starts again may read them
    /// once more.
    pub async fn discarded(&self, from: i64, to: i64) -> Result<HashSet<i64>, LogError> {
        let sql = "SELECT position FROM outbox_parked WHERE state = 'discarded' AND position BETWEEN $1 AND $2";
        let rows = self.client.query(sql, &[&from, &to]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Notes that a parked row was sent.
    pub async fn replayed(&self, position: i64) -> Result<(), LogError> {
        let sql = "UPDATE outbox_parked SET state = 'sent', changed_at = now() WHERE position = $1";
        self.client.execute(sql, &[&position]).await?;
        Ok(())
    }

    /// Notes that a row in replay was refused again: it and all that waits behind it are parked. In
    /// one statement, or a relay that ends in between would leave those behind it to be sent before
    /// it.
    pub async fn refused_again(&self, position: i64, reason: &str) -> Result<(), LogError> {
        let sql = "UPDATE outbox_parked p SET state = 'parked', changed_at = now(),
                     reason = CASE WHEN p.position = $1 THEN $2 ELSE p.reason END
                   FROM outbox_parked first
                   WHERE first.position = $1 AND p.topic = first.topic AND p.key = first.key AND p.state = 'replay'";
        self.client.execute(sql, &[&position, &reason]).await?;
        Ok(())
    }
}

const PARKED: &str = "parked";
const REPLAY: &str = "replay";

/// A transaction that no other change of parked events is beside: what it decides by would change
/// under it.
async fn alone(client: &mut Client) -> Result<Transaction<'_>, LogError> {
    let transaction = client.transaction().await?;
    let lock =
        "SET LOCAL synchronous_commit = on; LOCK TABLE outbox_parked IN SHARE ROW EXCLUSIVE MODE";
    transaction.batch_execute(lock).await?;
    Ok(transaction)
}

/// The state of those of the record's key that wait, up to the record itself; `None` if none waits.
/// A relay that starts again may read earlier ones once more, which are not behind anything.
async fn state_of(
    client: &impl GenericClient,
    record: &Record,
) -> Result<Option<&'static str>, LogError> {
    let sql = "SELECT bool_or(state = 'replay') FROM outbox_parked
               WHERE topic = $1 AND key = $2 AND position <= $3 AND state IN ('parked', 'replay')";
    let row = client
        .query_one(sql, &[&record.topic(), &record.key(), &record.position()])
        .await?;
    let in_replay: Option<bool> = row.get(0);
    Ok(in_replay.map(|in_replay| if in_replay { REPLAY } else { PARKED }))
}

/// A relay that starts again may park what it parked before; only what was sent since begins anew.
async fn insert(
    client: &impl GenericClient,
    record: &Record,
    reason: &str,
    state: &str,
) -> Result<(), LogError> {
    let sql = format!(
        "INSERT INTO outbox_parked ({COLUMNS}, reason, state) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (position) DO UPDATE SET state = excluded.state, reason = excluded.reason, changed_at = now()
         WHERE outbox_parked.state = 'sent'"
    );
    let (position, id, recorded_at) = (record.position(), record.id(), record.recorded_at());
    client
        .execute(
            &sql,
            &[
                &position,
                &id,
                &record.topic(),
                &record.key(),
                &record.event_type(),
                &record.payload(),
                &record.traceparent(),
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

/// Has the relay send everything of a key that is parked or discarded, in its order; how many
/// events that are.
pub async fn replay(client: &mut Client, key: &TopicKey, who: &str) -> Result<u64, LogError> {
    change(client, key, who, "replay", REPLAY, &[PARKED, "discarded"]).await
}

/// Gives the parked events of a key up, so that later ones go on; how many. They can still be
/// replayed.
pub async fn discard(client: &mut Client, key: &TopicKey, who: &str) -> Result<u64, LogError> {
    change(client, key, who, "discard", "discarded", &[PARKED, REPLAY]).await
}

async fn change(
    client: &mut Client,
    key: &TopicKey,
    who: &str,
    operation: &str,
    to: &str,
    from: &[&str],
) -> Result<u64, LogError> {
    let transaction = alone(client).await?;
    let sql = "UPDATE outbox_parked SET state = $3, changed_at = now(), changed_by = $4
               WHERE topic = $1 AND key = $2 AND state = ANY($5)";
    let changed = transaction
        .execute(sql, &[&key.topic, &key.key, &to, &who, &from])
        .await?;
    audit(&transaction, who, operation, key, changed).await?;
    transaction
        .execute("SELECT pg_notify('outbox', '')", &[])
        .await?;
    transaction.commit().await?;
    Ok(changed)
}

async fn audit(
    client: &impl GenericClient,
    who: &str,
    operation: &str,
    key: &TopicKey,
    events: u64,
) -> Result<(), LogError> {
    let sql = "INSERT INTO outbox_operations (who, operation, details)
               VALUES ($1, $2, jsonb_build_object('topic', $3::text, 'key', $4::text, 'events', $5::bigint))";
    let events = i64::try_from(events).unwrap_or(i64::MAX);
    client
        .execute(sql, &[&who, &operation, &key.topic, &key.key, &events])
        .await?;
    Ok(())
}
