//! Gaps: messages that Kafka deleted before a consumer had read them. A gap is reported until an
//! operator acknowledges it.
//!
//! To find a gap when Kafka has forgotten a group's offsets, the position of each partition is
//! saved here as well.

use db::{Db, DbError};
use diesel::{
    OptionalExtension, QueryableByName, sql_query,
    sql_types::{BigInt, Integer, Text, Timestamptz, Uuid},
};
use diesel_async::RunQueryDsl;
use serde::Serialize;

use crate::topic_partition::TopicPartition;

/// A gap as an operator sees it: the messages from offset `first` on, before offset `next`.
#[derive(Clone, Debug, Serialize, QueryableByName)]
pub struct Gap {
    #[diesel(sql_type = Uuid)]
    pub id: uuid::Uuid,
    #[diesel(sql_type = Text)]
    pub topic: String,
    #[diesel(sql_type = Integer)]
    pub partition: i32,
    #[diesel(sql_type = BigInt)]
    pub first: i64,
    #[diesel(sql_type = BigInt)]
    pub next: i64,
    #[diesel(sql_type = Timestamptz)]
    pub noticed_at: chrono::DateTime<chrono::Utc>,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// The gaps that no operator has acknowledged, the oldest first.
pub async fn list(db: &Db, consumer: &str) -> Result<Vec<Gap>, DbError> {
    db.transaction("inbox.list_gaps", async |tx| -> Result<Vec<Gap>, DbError> {
        let sql = "SELECT id, topic, partition, first, next, noticed_at FROM inbox_gaps
                   WHERE consumer = $1 AND acknowledged_at IS NULL
                   ORDER BY noticed_at, topic, partition";
        Ok(sql_query(sql)
            .bind::<Text, _>(consumer)
            .load(&mut **tx)
            .await?)
    })
    .await
}

/// Acknowledges a gap: an operator has dealt with its consequences. `false` if there is no such
/// gap, or it is acknowledged already.
pub async fn acknowledge(
    db: &Db,
    consumer: &str,
    id: uuid::Uuid,
    operator: &str,
) -> Result<bool, DbError> {
    db.transaction(
        "inbox.acknowledge_gap",
        async |tx| -> Result<bool, DbError> {
            let changed = sql_query(
                "WITH gap AS (UPDATE inbox_gaps SET acknowledged_at = now(), acknowledged_by = $3
               WHERE consumer = $1 AND id = $2 AND acknowledged_at IS NULL RETURNING *)
             INSERT INTO inbox_operations (who, operation, details)
             SELECT $3, 'acknowledge', jsonb_build_object('consumer', consumer, 'topic', topic,
               'partition', partition, 'first', first, 'next', next) FROM gap",
            )
            .bind::<Text, _>(consumer)
            .bind::<Uuid, _>(id)
            .bind::<Text, _>(operator)
            .execute(&mut **tx)
            .await?;
            Ok(changed == 1)
        },
    )
    .await
}

/// The number of gaps that no operator has acknowledged.
pub(crate) async fn count(db: &Db, consumer: &str) -> Result<i64, DbError> {
    db.transaction("inbox.count_gaps", async |tx| -> Result<i64, DbError> {
        let sql = "SELECT count(*) AS number FROM inbox_gaps
                   WHERE consumer = $1 AND acknowledged_at IS NULL";
        let count: Number = sql_query(sql)
            .bind::<Text, _>(consumer)
            .get_result(&mut **tx)
            .await?;
        Ok(count.number)
    })
    .await
}

/// Records a gap. If it has grown since it was acknowledged, it must be acknowledged again.
pub(crate) async fn record(
    db: &Db,
    consumer: &str,
    TopicPartition { topic, partition }: &TopicPartition,
    first: i64,
    next: i64,
) -> Result<(), DbError> {
    db.transaction("inbox.note_gap", async |tx| -> Result<(), DbError> {
        sql_query(
            "INSERT INTO inbox_gaps (consumer, topic, partition, first, next)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (consumer, topic, partition, first) DO UPDATE
             SET next = excluded.next, acknowledged_at = NULL, acknowledged_by = NULL
             WHERE inbox_gaps.next < excluded.next",
        )
        .bind::<Text, _>(consumer)
        .bind::<Text, _>(topic)
        .bind::<Integer, _>(*partition)
        .bind::<BigInt, _>(first)
        .bind::<BigInt, _>(next)
        .execute(&mut **tx)
        .await?;
        Ok(())
    })
    .await
}

/// The saved position of a partition: everything before this offset is done. `None` if none is
/// saved.
pub(crate) async fn read_position(
    db: &Db,
    consumer: &str,
    TopicPartition { topic, partition }: &TopicPartition,
) -> Result<Option<i64>, DbError> {
    db.transaction(
        "inbox.position",
        async |tx| -> Result<Option<i64>, DbError> {
            let sql = "SELECT next AS number FROM inbox_positions
                   WHERE consumer = $1 AND topic = $2 AND partition = $3";
            let found = sql_query(sql)
                .bind::<Text, _>(consumer)
                .bind::<Text, _>(topic)
                .bind::<Integer, _>(*partition)
                .get_result::<Number>(&mut **tx)
                .await
                .optional()?;
            Ok(found.map(|found| found.number))
        },
    )
    .await
}

/// Saves that everything before `next` in a partition is done.
pub(crate) async fn save_position(
    db: &Db,
    consumer: &str,
    TopicPartition { topic, partition }: &TopicPartition,
    next: i64,
) -> Result<(), DbError> {
    db.transaction("inbox.note_position", async |tx| -> Result<(), DbError> {
        sql_query(
            "INSERT INTO inbox_positions (consumer, topic, partition, next) VALUES ($1, $2, $3, $4)
             ON CONFLICT (consumer, topic, partition)
             DO UPDATE SET next = excluded.next, noted_at = now()",
        )
        .bind::<Text, _>(consumer)
        .bind::<Text, _>(topic)
        .bind::<Integer, _>(*partition)
        .bind::<BigInt, _>(next)
        .execute(&mut **tx)
        .await?;
        Ok(())
    })
    .await
}
