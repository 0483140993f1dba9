//! Events that are being retried. Each blocks its partition meanwhile.

use db::{Db, DbError};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{Bool, Integer, Text, Timestamptz, Uuid},
};
use diesel_async::RunQueryDsl;
use kernel::EventId;
use serde::Serialize;

use crate::{Message, topic_partition::TopicPartition};

/// An event that blocks its partition, as an operator sees it.
#[derive(Clone, Debug, Serialize, QueryableByName)]
pub struct BlockedEvent {
    #[diesel(sql_type = Uuid)]
    pub event_id: EventId,
    #[diesel(sql_type = Text)]
    pub topic: String,
    #[diesel(sql_type = Integer)]
    pub partition: i32,
    #[diesel(sql_type = Text)]
    pub key: String,
    #[diesel(sql_type = Text)]
    #[serde(rename = "type")]
    pub event_type: String,
    #[diesel(sql_type = Timestamptz)]
    pub since: chrono::DateTime<chrono::Utc>,
    #[diesel(sql_type = Integer)]
    pub attempts: i32,
    #[diesel(sql_type = Text)]
    pub error: String,
}

/// The event of each blocked partition; the one that has waited longest comes first.
pub async fn list(db: &Db, consumer: &str) -> Result<Vec<BlockedEvent>, DbError> {
    db.transaction(
        "inbox.list_blocked",
        async |tx| -> Result<Vec<BlockedEvent>, DbError> {
            let sql =
                "SELECT event_id, topic, partition, key, type AS event_type, since, attempts, error
                 FROM inbox_blocked WHERE consumer = $1 ORDER BY since";
            Ok(sql_query(sql)
                .bind::<Text, _>(consumer)
                .load(&mut **tx)
                .await?)
        },
    )
    .await
}

#[derive(QueryableByName)]
struct Requested {
    #[diesel(sql_type = Bool)]
    requested: bool,
}

/// Records that `message` blocks its partition. Returns whether an operator has requested that it
/// be parked.
pub(crate) async fn record(
    db: &Db,
    consumer: &str,
    message: &Message,
    attempts: i32,
    cause: &str,
) -> Result<bool, DbError> {
    db.transaction("inbox.note_blocked", async |tx| -> Result<bool, DbError> {
        sql_query(
            "INSERT INTO inbox_blocked
               (consumer, topic, partition, event_id, type, key, attempts, error)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (consumer, topic, partition) DO UPDATE
             SET event_id = excluded.event_id, type = excluded.type, key = excluded.key,
               attempts = excluded.attempts, error = excluded.error,
               since = CASE WHEN inbox_blocked.event_id = excluded.event_id
                       THEN inbox_blocked.since ELSE now() END",
        )
        .bind::<Text, _>(consumer)
        .bind::<Text, _>(&message.topic)
        .bind::<Integer, _>(message.partition)
        .bind::<Uuid, _>(message.id)
        .bind::<Text, _>(&message.event_type)
        .bind::<Text, _>(message.key.name())
        .bind::<Integer, _>(attempts)
        .bind::<Text, _>(cause)
        .execute(&mut **tx)
        .await?;
        let requested: Requested = sql_query(
            "SELECT EXISTS (SELECT FROM inbox_park_requests
                            WHERE consumer = $1 AND event_id = $2) AS requested",
        )
        .bind::<Text, _>(consumer)
        .bind::<Uuid, _>(message.id)
        .get_result(&mut **tx)
        .await?;
        Ok(requested.requested)
    })
    .await
}

/// Records that a partition goes on, and removes an operator's request to park the event that
/// blocked it.
pub(crate) async fn clear(
    db: &Db,
    consumer: &str,
    TopicPartition { topic, partition }: &TopicPartition,
) -> Result<(), DbError> {
    db.transaction("inbox.clear_blocked", async |tx| -> Result<(), DbError> {
        sql_query(
            "WITH gone AS (DELETE FROM inbox_blocked
               WHERE consumer = $1 AND topic = $2 AND partition = $3 RETURNING event_id)
             DELETE FROM inbox_park_requests r USING gone
             WHERE r.consumer = $1 AND r.event_id = gone.event_id",
        )
        .bind::<Text, _>(consumer)
        .bind::<Text, _>(topic)
        .bind::<Integer, _>(*partition)
        .execute(&mut **tx)
        .await?;
        Ok(())
    })
    .await
}
