use std::{sync::Arc, time::Duration};

use db::DbError;
use diesel::{
    sql_query,
    sql_types::{Integer, Text},
};
use diesel_async::RunQueryDsl;
use kernel::cause_chain;

use crate::shared::Shared;

/// How often old rows are deleted. They are kept for days, so an hour more or less is all the same.
const PURGE_INTERVAL: Duration = Duration::from_hours(1);
/// Bounds the rows of one transaction, so that it is short. The statements below say the same
/// number.
const BATCH_ROWS: usize = 10_000;

/// Which rows are deleted, and when.
struct Retention {
    /// Deletes up to [`BATCH_ROWS`] rows; its parameters are the consumer and `days`.
    sql: &'static str,
    days: u16,
}

/// Deletes the rows of events that were applied or discarded long ago, until the task is dropped.
pub(crate) async fn run<S>(shared: Arc<Shared<S>>) {
    let retentions = [
        Retention {
            sql: "DELETE FROM inbox WHERE ctid = ANY(ARRAY(SELECT ctid FROM inbox
                  WHERE consumer = $1 AND applied_at < now() - make_interval(days => $2)
                  LIMIT 10000))",
            days: shared.settings.inbox_days,
        },
        // Until then Kafka may deliver a discarded event again, and it must not be applied.
        Retention {
            sql: "DELETE FROM inbox_parked WHERE ctid = ANY(ARRAY(SELECT ctid FROM inbox_parked
                  WHERE consumer = $1 AND state IN ('applied', 'discarded')
                    AND changed_at < now() - make_interval(days => $2)
                  LIMIT 10000 FOR UPDATE SKIP LOCKED))",
            days: shared.settings.inbox_parked_days,
        },
    ];
    loop {
        for retention in &retentions {
            while delete_some(&shared, retention).await {}
        }
        tokio::time::sleep(PURGE_INTERVAL).await;
    }
}

/// Deletes a batch of rows. Returns whether there may be more.
async fn delete_some<S>(shared: &Shared<S>, retention: &Retention) -> bool {
    match delete(shared, retention).await {
        Ok(deleted) => deleted == BATCH_ROWS,
        Err(error) => {
            tracing::warn!(error = cause_chain(&error), "old inbox rows not deleted");
            false
        }
    }
}

async fn delete<S>(shared: &Shared<S>, retention: &Retention) -> Result<usize, DbError> {
    let consumer = shared.consumer();
    shared
        .db
        .transaction("inbox.forget", async |tx| -> Result<usize, DbError> {
            Ok(sql_query(retention.sql)
                .bind::<Text, _>(consumer)
                .bind::<Integer, _>(i32::from(retention.days))
                .execute(&mut **tx)
                .await?)
        })
        .await
}
