use std::{sync::Arc, time::Duration};

use db::{DbError, Tx, lock_class};
use diesel::{
    OptionalExtension, QueryableByName, sql_query,
    sql_types::{BigInt, Binary, Integer, Nullable, Text, Uuid},
};
use diesel_async::RunQueryDsl;
use kernel::{EventId, cause_chain};

use crate::{Failure, Message, Outcome, apply, worker::Shared};

const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(QueryableByName)]
struct Key {
    #[diesel(sql_type = Text)]
    topic: String,
    #[diesel(sql_type = Text)]
    key: String,
}

#[derive(QueryableByName)]
struct ParkedRow {
    #[diesel(sql_type = Uuid)]
    event_id: EventId,
    #[diesel(sql_type = Text)]
    event_type: String,
    #[diesel(sql_type = Integer)]
    partition: i32,
    #[diesel(sql_type = BigInt)]
    message_offset: i64,
    #[diesel(sql_type = Binary)]
    payload: Vec<u8>,
    #[diesel(sql_type = Nullable<Text>)]
    traceparent: Option<String>,
}

/// Applies what operators want replayed, in its order, until it is dropped.
pub(crate) async fn run<S: Send + Sync + 'static>(shared: Arc<Shared<S>>) {
    loop {
        match keys(&shared).await {
            Ok(keys) => {
                for key in keys {
                    while replay_next(&shared, &key).await {}
                }
            }
            Err(error) => tracing::debug!(error = cause_chain(&error), "cannot look for events to replay"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn keys<S>(shared: &Shared<S>) -> Result<Vec<Key>, DbError> {
    let consumer = shared.subscriptions_name();
    shared
        .db
        .transaction("inbox.keys_in_replay", async |tx| -> Result<Vec<Key>, DbError> {
            let sql = "SELECT DISTINCT topic, key FROM inbox_parked WHERE consumer = $1 AND state = 'replay'";
            Ok(sql_query(sql).bind::<Text, _>(consumer).load(&mut **tx).await?)
        })
        .await
}

/// Applies the key's first event; whether there may be another one.
async fn replay_next<S: Send + Sync + 'static>(shared: &Shared<S>, key: &Key) -> bool {
    let mut tried = None;
    let outcome = shared
        .db
        .transaction("inbox.replay", async |tx| -> Result<bool, Failure> {
            lock_key(tx, key).await?;
            let Some(row) = first(tx, shared.subscriptions_name(), key).await? else {
                return Ok(false);
            };
            tried = Some(row.event_id);
            let message = row.into_message(key);
            // Its own row must not make it one that is known.
            set_state(tx, shared.subscriptions_name(), message.id, "applied", None).await?;
            apply::apply_parked(tx, &shared.subscriptions, &shared.state, &message).await?;
            Ok(true)
        })
        .await;
    match (outcome, tried) {
        (Ok(more), tried) => {
            if let Some(id) = tried {
                let now = shared.clock.now();
                shared.metrics.count("replayed", Outcome::Applied, None, now);
                tracing::info!(event_id = %id, "parked event is applied");
            }
            more
        }
        (
            Err(
                Failure::Park { code, reason }
                | Failure::Retry {
                    code, cause: reason, ..
                },
            ),
            Some(id),
        ) => {
            tracing::error!(event_id = %id, code, reason, "parked event failed again");
            park_again(shared, key, id, &reason).await;
            false
        }
        (Err(_), None) => false,
    }
}

async fn park_again<S>(shared: &Shared<S>, key: &Key, id: EventId, reason: &str) {
    let consumer = shared.subscriptions_name();
    let parked = shared
        .db
        .transaction("inbox.park_again", async |tx| -> Result<(), DbError> {
            set_state(tx, consumer, id, "parked", Some(reason)).await?;
            sql_query("UPDATE inbox_parked SET state = 'parked', changed_at = now() WHERE consumer = $1 AND topic = $2 AND key = $3 AND state = 'replay'")
                .bind::<Text, _>(consumer)
                .bind::<Text, _>(&key.topic)
                .bind::<Text, _>(&key.key)
                .execute(&mut **tx)
                .await?;
            Ok(())
        })
        .await;
    if let Err(error) = parked {
        tracing::warn!(error = cause_chain(&error), "a failed replay stays in replay");
    }
}

async fn lock_key(tx: &mut Tx<'_>, key: &Key) -> Result<(), DbError> {
    sql_query("SELECT pg_advisory_xact_lock($1, hashtext($2 || ' ' || $3))")
        .bind::<Integer, _>(lock_class::INBOX_KEY)
        .bind::<Text, _>(&key.topic)
        .bind::<Text, _>(&key.key)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn first(tx: &mut Tx<'_>, consumer: &str, key: &Key) -> Result<Option<ParkedRow>, DbError> {
    let sql = "SELECT event_id, type AS event_type, partition, \"offset\" AS message_offset, payload, traceparent FROM inbox_parked
               WHERE consumer = $1 AND topic = $2 AND key = $3 AND state = 'replay' ORDER BY seq LIMIT 1 FOR UPDATE";
    let first = sql_query(sql)
        .bind::<Text, _>(consumer)
        .bind::<Text, _>(&key.topic)
        .bind::<Text, _>(&key.key);
    Ok(first.get_result(&mut **tx).await.optional()?)
}

async fn set_state(
    tx: &mut Tx<'_>,
    consumer: &str,
    id: EventId,
    state: &str,
    reason: Option<&str>,
) -> Result<(), DbError> {
    let sql = "UPDATE inbox_parked SET state = $3, reason = coalesce($4, reason), changed_at = now()
               WHERE consumer = $1 AND event_id = $2";
    let changed = sql_query(sql)
        .bind::<Text, _>(consumer)
        .bind::<Uuid, _>(id)
        .bind::<Text, _>(state)
        .bind::<Nullable<Text>, _>(reason)
        .execute(&mut **tx)
        .await?;
    DbError::expect_rows("changing a parked event's state", 1, changed)
}

impl ParkedRow {
    fn into_message(self, key: &Key) -> Message {
        Message {
            id: self.event_id,
            event_type: self.event_type,
            topic: key.topic.clone(),
            partition: self.partition,
            offset: self.message_offset,
            key: key.key.clone(),
            time: None,
            trace: self.traceparent.and_then(|trace| trace.parse().ok()),
            payload: self.payload,
            unreadable: None,
        }
    }
}
