use std::time::Duration;

use tokio_postgres::{Client, error::SqlState};
use uuid::Uuid;

use super::error::LogError;

/// The number of the log's buckets, as the migration defines them.
pub const BUCKETS: i32 = 6;
/// How many seconds a bucket is written to, before the next one is: six hours.
pub const BUCKET_SECONDS: i64 = 21_600;

/// Empties a bucket if all of it is acknowledged and older than `retention`; returns whether it
/// did. A bucket that is in use is left for the next time.
pub async fn empty_bucket(
    client: &Client,
    bucket: i32,
    retention: Duration,
) -> Result<bool, LogError> {
    let sql = "SELECT outbox_empty_bucket($1, make_interval(secs => $2))";
    match client
        .query_one(sql, &[&bucket, &retention.as_secs_f64()])
        .await
    {
        Ok(row) => Ok(row.get(0)),
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Publishes a retained event once more, under its own id, so that consumers recognise it; returns
/// whether it was found. `operator` is recorded as the one that did it.
pub async fn publish_again(
    client: &mut Client,
    id: Uuid,
    operator: &str,
) -> Result<bool, LogError> {
    let transaction = client.transaction().await?;
    let sql = "SELECT outbox_publish(id, topic, key, type, payload, headers, $2, $3)
               FROM outbox WHERE id = $1 ORDER BY position LIMIT 1";
    let (sleep, key) = (db::lock_class::OUTBOX_SLEEP, db::lock_class::OUTBOX_KEY);
    let published = transaction
        .query_opt(sql, &[&id, &sleep, &key])
        .await?
        .is_some_and(|row| row.get(0));
    if published {
        let audit = "INSERT INTO outbox_operations (who, operation, details)
                     VALUES ($1, 'republish', jsonb_build_object('id', $2::uuid))";
        transaction.execute(audit, &[&operator, &id]).await?;
    }
    transaction.commit().await?;
    Ok(published)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buckets_are_those_of_the_migration() {
        let migration = include_str!("../../migrations/00000000000020_outbox/up.sql");
        let bucket = format!("/ {BUCKET_SECONDS})::bigint % {BUCKETS})");
        assert!(migration.contains(&bucket), "no {bucket} in the migration");
        let last = format!("PARTITION OF outbox FOR VALUES IN ({});", BUCKETS - 1);
        assert!(migration.contains(&last), "no {last} in the migration");
    }
}
