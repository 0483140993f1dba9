//! Events that wait for an operator, and what an operator does about them. Each action of an
//! operator is recorded.

use db::{Db, DbError, Tx, lock_class};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{Array, BigInt, Binary, Integer, Nullable, Text, Timestamptz, Uuid},
};
use diesel_async::RunQueryDsl;
use kernel::EventId;
use serde::Serialize;

use crate::Message;

/// A parked event as an operator sees it.
#[derive(Clone, Debug, Serialize, QueryableByName)]
pub struct ParkedEvent {
    #[diesel(sql_type = Uuid)]
    pub event_id: EventId,
    #[diesel(sql_type = Text)]
    pub topic: String,
    /// The key, or a name for it if it is long or no text that can be printed.
    #[diesel(sql_type = Text)]
    pub key: String,
    /// The bytes of a key that has such a name, in hexadecimal.
    #[diesel(sql_type = Nullable<Text>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_hex: Option<String>,
    #[diesel(sql_type = Text)]
    #[serde(rename = "type")]
    pub event_type: String,
    #[diesel(sql_type = Text)]
    pub code: String,
    #[diesel(sql_type = Text)]
    pub reason: String,
    #[diesel(sql_type = Timestamptz)]
    pub parked_at: chrono::DateTime<chrono::Utc>,
    #[diesel(sql_type = Text)]
    pub state: String,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    parked: i64,
}

/// The number of events that are parked or in replay.
pub(crate) async fn count(db: &Db, consumer: &str) -> Result<i64, DbError> {
    db.transaction("inbox.count_parked", async |tx| -> Result<i64, DbError> {
        let sql = "SELECT count(*) AS parked FROM inbox_parked
                   WHERE consumer = $1 AND state IN ('parked', 'replay')";
        let count: Count = sql_query(sql)
            .bind::<Text, _>(consumer)
            .get_result(&mut **tx)
            .await?;
        Ok(count.parked)
    })
    .await
}

/// Inserts the row of a parked message; `false` if it is there already.
///
/// The message is not applied, so it has no row in the table `inbox`: when Kafka delivers it again,
/// this row says that it is known. If its key is in replay, the message is replayed after the
/// earlier ones.
pub(crate) async fn insert(
    tx: &mut Tx<'_>,
    consumer: &str,
    message: &Message,
    code: &str,
    reason: &str,
) -> Result<bool, DbError> {
    let added = sql_query(
        "INSERT INTO inbox_parked (consumer, event_id, topic, partition, \"offset\", key, key_bytes,
           type, payload, traceparent, code, reason, state)
         VALUES ($1, $2, $3, $4, $5, $6, $12, $7, $8, $9, $10, $11,
           CASE WHEN EXISTS (SELECT FROM inbox_parked
                             WHERE consumer = $1 AND topic = $3 AND key = $6 AND state = 'replay')
                THEN 'replay' ELSE 'parked' END)
         ON CONFLICT (consumer, event_id) DO NOTHING",
    )
    .bind::<Text, _>(consumer)
    .bind::<Uuid, _>(message.id)
    .bind::<Text, _>(&message.topic)
    .bind::<Integer, _>(message.partition)
    .bind::<BigInt, _>(message.offset)
    .bind::<Text, _>(message.key.name())
    .bind::<Text, _>(&message.event_type)
    .bind::<Binary, _>(&message.payload)
    .bind::<Nullable<Text>, _>(message.trace.map(|trace| trace.to_string()))
    .bind::<Text, _>(code)
    .bind::<Text, _>(reason)
    .bind::<Nullable<Binary>, _>(message.key.other_bytes())
    .execute(&mut **tx)
    .await?;
    Ok(added == 1)
}

/// Locks a key until the transaction ends. No other transaction parks an event behind those of the
/// key, replays or discards them meanwhile.
pub(crate) async fn lock_key(tx: &mut Tx<'_>, topic: &str, key: &str) -> Result<(), DbError> {
    // The same lock as in the function inbox_accept.
    sql_query("SELECT pg_advisory_xact_lock($1, hashtext($2 || ' ' || $3))")
        .bind::<Integer, _>(lock_class::INBOX_KEY)
        .bind::<Text, _>(topic)
        .bind::<Text, _>(key)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Every event that is parked, in replay or discarded, in the order of their arrival.
pub async fn list(db: &Db, consumer: &str) -> Result<Vec<ParkedEvent>, DbError> {
    db.transaction(
        "inbox.parked",
        async |tx| -> Result<Vec<ParkedEvent>, DbError> {
            let sql = "SELECT event_id, topic, key, encode(key_bytes, 'hex') AS key_hex,
                     type AS event_type, code, reason, parked_at, state
                   FROM inbox_parked WHERE consumer = $1 AND state <> 'applied' ORDER BY seq";
            Ok(sql_query(sql)
                .bind::<Text, _>(consumer)
                .load(&mut **tx)
                .await?)
        },
    )
    .await
}

/// Has the consumer apply all events of a key that are parked or discarded, in the order of their
/// arrival. Returns how many they are.
pub async fn replay(
    db: &Db,
    consumer: &str,
    topic: &str,
    key: &str,
    operator: &str,
) -> Result<usize, DbError> {
    change(db, consumer, (topic, key), operator, &REPLAY).await
}

/// Discards the parked events of a key, so that later ones of the key are applied. Returns how many
/// they are. They can still be replayed.
pub async fn discard(
    db: &Db,
    consumer: &str,
    topic: &str,
    key: &str,
    operator: &str,
) -> Result<usize, DbError> {
    change(db, consumer, (topic, key), operator, &DISCARD).await
}

/// Requests that the event which blocks a partition be parked at its next retry. `false` if no
/// partition waits for it (any more).
pub async fn request(
    db: &Db,
    consumer: &str,
    event_id: EventId,
    operator: &str,
) -> Result<bool, DbError> {
    db.transaction("inbox.park_request", async |tx| -> Result<bool, DbError> {
        // The request is removed when the partition goes on.
        let requested = sql_query(
            "WITH blocked AS (SELECT FROM inbox_blocked
               WHERE consumer = $1 AND event_id = $2 FOR UPDATE),
             request AS (INSERT INTO inbox_park_requests (consumer, event_id, requested_by)
               SELECT $1, $2, $3 FROM blocked ON CONFLICT DO NOTHING)
             INSERT INTO inbox_operations (who, operation, details)
             SELECT $3, 'park',
               jsonb_build_object('consumer', $1::text, 'event_id', $2::uuid) FROM blocked",
        )
        .bind::<Text, _>(consumer)
        .bind::<Uuid, _>(event_id)
        .bind::<Text, _>(operator)
        .execute(&mut **tx)
        .await?;
        Ok(requested > 0)
    })
    .await
}

/// What an operator does to the parked events of a key.
struct Action {
    /// Its name in the records of operations.
    operation: &'static str,
    /// The states of the events that it changes.
    from: [&'static str; 2],
    /// The state that it gives them.
    to: &'static str,
}

const REPLAY: Action = Action {
    operation: "replay",
    from: ["parked", "discarded"],
    to: "replay",
};
const DISCARD: Action = Action {
    operation: "discard",
    from: ["parked", "replay"],
    to: "discarded",
};

async fn change(
    db: &Db,
    consumer: &str,
    (topic, key): (&str, &str),
    operator: &str,
    action: &Action,
) -> Result<usize, DbError> {
    let sql = "UPDATE inbox_parked SET state = $4, changed_at = now(), changed_by = $5
               WHERE consumer = $1 AND topic = $2 AND key = $3 AND state = ANY($6)";
    db.transaction(
        "inbox.change_parked",
        async |tx| -> Result<usize, DbError> {
            // An event that is being parked behind these is either there before and changed with
            // them, or sees their new state.
            lock_key(tx, topic, key).await?;
            let changed = sql_query(sql)
                .bind::<Text, _>(consumer)
                .bind::<Text, _>(topic)
                .bind::<Text, _>(key)
                .bind::<Text, _>(action.to)
                .bind::<Text, _>(operator)
                .bind::<Array<Text>, _>(&action.from[..])
                .execute(&mut **tx)
                .await?;
            sql_query(
                "INSERT INTO inbox_operations (who, operation, details)
             VALUES ($5, $4, jsonb_build_object('consumer', $1::text, 'topic', $2::text,
               'key', $3::text, 'events', $6::bigint))",
            )
            .bind::<Text, _>(consumer)
            .bind::<Text, _>(topic)
            .bind::<Text, _>(key)
            .bind::<Text, _>(action.operation)
            .bind::<Text, _>(operator)
            .bind::<BigInt, _>(i64::try_from(changed).unwrap_or(i64::MAX))
            .execute(&mut **tx)
            .await?;
            Ok(changed)
        },
    )
    .await
}
