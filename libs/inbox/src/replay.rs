use std::{sync::Arc, time::Duration};

use db::{DbError, Tx};
use diesel::{
    OptionalExtension, QueryableByName, sql_query,
    sql_types::{BigInt, Binary, Integer, Nullable, Text, Uuid},
};
use diesel_async::RunQueryDsl;
use kernel::{Class, EventId, cause_chain};

use crate::{
    Failure, Message, Outcome, Retry,
    apply::{self, FOREIGN},
    parked,
    shared::Shared,
};

/// How often the consumer polls for events to replay: an operator waits for them.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// A key that has events to replay.
#[derive(QueryableByName)]
struct ReplayKey {
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
    #[diesel(sql_type = Nullable<Binary>)]
    key_bytes: Option<Vec<u8>>,
    #[diesel(sql_type = Binary)]
    payload: Vec<u8>,
    #[diesel(sql_type = Nullable<Text>)]
    traceparent: Option<String>,
    #[diesel(sql_type = Text)]
    code: String,
    #[diesel(sql_type = Text)]
    state: String,
}

/// What became of an event in replay.
#[derive(Clone, Copy)]
enum ReplayOutcome {
    Applied,
    /// It is not from its type's producer. The events behind it go on.
    Discarded,
}

/// Applies the events that operators have put in replay, those of a key in their order, until the
/// task is dropped.
pub(crate) async fn run<S: Send + Sync + 'static>(shared: Arc<Shared<S>>) {
    loop {
        match keys(&shared).await {
            Ok(keys) => {
                for key in keys {
                    while replay_next(&shared, &key).await {}
                }
            }
            Err(error) => tracing::debug!(
                error = cause_chain(&error),
                "the events to replay cannot be read"
            ),
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

async fn keys<S>(shared: &Shared<S>) -> Result<Vec<ReplayKey>, DbError> {
    let consumer = shared.consumer();
    shared
        .db
        .transaction(
            "inbox.keys_in_replay",
            async |tx| -> Result<Vec<ReplayKey>, DbError> {
                let sql = "SELECT DISTINCT topic, key FROM inbox_parked
                       WHERE consumer = $1 AND state = 'replay'";
                Ok(sql_query(sql)
                    .bind::<Text, _>(consumer)
                    .load(&mut **tx)
                    .await?)
            },
        )
        .await
}

/// Applies the key's first event. Returns whether the next one may be replayed.
async fn replay_next<S: Send + Sync + 'static>(shared: &Shared<S>, key: &ReplayKey) -> bool {
    let mut tried = None;
    let replayed = shared
        .db
        .transaction(
            "inbox.replay",
            async |tx| -> Result<Option<ReplayOutcome>, Failure> {
                parked::lock_key(tx, &key.topic, &key.key).await?;
                let Some(row) = first_in_replay(tx, shared.consumer(), key).await? else {
                    return Ok(None);
                };
                let is_foreign = row.code == FOREIGN;
                let message = tried.insert(row.into_message(key));
                let outcome = if is_foreign
                    || shared.subscriptions.foreign_reason(message).is_some()
                {
                    ReplayOutcome::Discarded
                } else {
                    apply::apply_parked(tx, &shared.subscriptions, &shared.state, message).await?;
                    ReplayOutcome::Applied
                };
                finish(tx, shared.consumer(), message.id, outcome).await?;
                Ok(Some(outcome))
            },
        )
        .await;
    let Some(message) = tried else {
        return false;
    };
    match replayed {
        Ok(Some(ReplayOutcome::Discarded)) => {
            tracing::warn!(
                event_id = %message.id,
                event_type = message.event_type,
                key = key.key,
                "a foreign event is discarded, not replayed"
            );
            return true;
        }
        Ok(_) => {
            let now = shared.clock.now();
            shared
                .metrics
                .count_event(&message.event_type, Outcome::Applied, None, now);
            tracing::info!(
                event_id = %message.id,
                event_type = message.event_type,
                key = key.key,
                "parked event is applied"
            );
            return true;
        }
        Err(Failure::Retry(retry)) if retry.class == Class::Unavailable => {
            tracing::warn!(
                event_id = %message.id,
                cause = retry.cause,
                "parked event cannot be applied yet"
            );
        }
        Err(
            Failure::Park { code, reason }
            | Failure::Retry(Retry {
                code,
                cause: reason,
                ..
            }),
        ) => {
            tracing::error!(
                event_id = %message.id,
                event_type = message.event_type,
                key = key.key,
                code,
                reason,
                "parked event failed again"
            );
            park_again(shared, key, message.id, code, &reason).await;
        }
    }
    false
}

/// Parks all events of a key that are in replay again, and gives the one that failed its new
/// reason.
async fn park_again<S>(shared: &Shared<S>, key: &ReplayKey, id: EventId, code: &str, reason: &str) {
    let consumer = shared.consumer();
    let parked = shared
        .db
        .transaction("inbox.park_again", async |tx| -> Result<(), DbError> {
            parked::lock_key(tx, &key.topic, &key.key).await?;
            let sql = "UPDATE inbox_parked SET state = 'parked', changed_at = now(),
                         code = CASE WHEN event_id = $4 THEN $5 ELSE code END,
                         reason = CASE WHEN event_id = $4 THEN $6 ELSE reason END
                       WHERE consumer = $1 AND topic = $2 AND key = $3 AND state = 'replay'";
            sql_query(sql)
                .bind::<Text, _>(consumer)
                .bind::<Text, _>(&key.topic)
                .bind::<Text, _>(&key.key)
                .bind::<Uuid, _>(id)
                .bind::<Text, _>(code)
                .bind::<Text, _>(reason)
                .execute(&mut **tx)
                .await?;
            Ok(())
        })
        .await;
    if let Err(error) = parked {
        tracing::warn!(
            error = cause_chain(&error),
            "a failed replay stays in replay"
        );
    }
}

/// The key's first event, if it is in replay. `None` if it is still parked: no later event
/// overtakes it.
async fn first_in_replay(
    tx: &mut Tx<'_>,
    consumer: &str,
    key: &ReplayKey,
) -> Result<Option<ParkedRow>, DbError> {
    let sql =
        "SELECT event_id, type AS event_type, partition, \"offset\" AS message_offset, key_bytes,
                 payload, traceparent, code, state
               FROM inbox_parked
               WHERE consumer = $1 AND topic = $2 AND key = $3 AND state IN ('parked', 'replay')
               ORDER BY seq LIMIT 1 FOR UPDATE";
    let first = sql_query(sql)
        .bind::<Text, _>(consumer)
        .bind::<Text, _>(&key.topic)
        .bind::<Text, _>(&key.key)
        .get_result::<ParkedRow>(&mut **tx)
        .await
        .optional()?;
    Ok(first.filter(|row| row.state == "replay"))
}

/// Gives a replayed event its final state.
async fn finish(
    tx: &mut Tx<'_>,
    consumer: &str,
    id: EventId,
    outcome: ReplayOutcome,
) -> Result<(), DbError> {
    let sql = "UPDATE inbox_parked SET state = $3, changed_at = now()
               WHERE consumer = $1 AND event_id = $2";
    let changed = sql_query(sql)
        .bind::<Text, _>(consumer)
        .bind::<Uuid, _>(id)
        .bind::<Text, _>(match outcome {
            ReplayOutcome::Applied => "applied",
            ReplayOutcome::Discarded => "discarded",
        })
        .execute(&mut **tx)
        .await?;
    DbError::expect_rows("noting what became of a parked event", 1, changed)
}

impl ParkedRow {
    fn into_message(self, key: &ReplayKey) -> Message {
        Message {
            id: self.event_id,
            event_type: self.event_type,
            source: None,
            topic: key.topic.clone(),
            partition: self.partition,
            offset: self.message_offset,
            key: crate::Key::stored(key.key.clone(), self.key_bytes),
            time: None,
            trace: self.traceparent.and_then(|trace| trace.parse().ok()),
            payload: self.payload,
            unreadable: None,
        }
    }
}
