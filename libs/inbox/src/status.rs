use chrono::{DateTime, Utc};
use db::{Db, DbError};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{BigInt, Nullable, Text, Timestamptz},
};
use diesel_async::RunQueryDsl;
use serde::Serialize;

/// The state of an inbox, as an operator sees it.
#[derive(Clone, Debug, Serialize, QueryableByName)]
pub struct InboxStatus {
    /// When an event was last applied.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub last_applied_at: Option<DateTime<Utc>>,
    /// Partitions that are blocked by an event that is being retried.
    #[diesel(sql_type = BigInt)]
    pub blocked: i64,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub blocked_since: Option<DateTime<Utc>>,
    #[diesel(sql_type = BigInt)]
    pub parked: i64,
    #[diesel(sql_type = BigInt)]
    pub in_replay: i64,
    #[diesel(sql_type = BigInt)]
    pub discarded: i64,
    /// Gaps that no operator has acknowledged: messages that Kafka deleted before they were read.
    #[diesel(sql_type = BigInt)]
    pub gaps: i64,
}

/// The state of the inbox of `consumer`.
pub async fn status(db: &Db, consumer: &str) -> Result<InboxStatus, DbError> {
    db.transaction("inbox.status", async |tx| -> Result<InboxStatus, DbError> {
        let sql = "SELECT
              (SELECT max(applied_at) FROM inbox WHERE consumer = $1) AS last_applied_at, b.*, p.*,
              (SELECT count(*) FROM inbox_gaps
               WHERE consumer = $1 AND acknowledged_at IS NULL) AS gaps
            FROM
              (SELECT count(*) AS blocked, min(since) AS blocked_since
               FROM inbox_blocked WHERE consumer = $1) b,
              (SELECT count(*) FILTER (WHERE state = 'parked') AS parked,
                 count(*) FILTER (WHERE state = 'replay') AS in_replay,
                 count(*) FILTER (WHERE state = 'discarded') AS discarded
               FROM inbox_parked WHERE consumer = $1) p";
        Ok(sql_query(sql)
            .bind::<Text, _>(consumer)
            .get_result(&mut **tx)
            .await?)
    })
    .await
}
