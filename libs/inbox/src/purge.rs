use std::{sync::Arc, time::Duration};

use db::DbError;
use diesel::{
    sql_query,
    sql_types::{Integer, Text},
};
use diesel_async::RunQueryDsl;
use kernel::cause_chain;

use crate::worker::Shared;

const EVERY: Duration = Duration::from_hours(1);
const BATCH: usize = 10_000;

/// Rows that are forgotten some days after.
struct Old {
    sql: &'static str,
    days: u16,
}

/// Forgets what was applied or given up long ago, a little at a time, until it is dropped.
pub(crate) async fn run<S>(shared: Arc<Shared<S>>) {
    let all = [
        Old {
            sql: "DELETE FROM inbox WHERE ctid = ANY(ARRAY(SELECT ctid FROM inbox
                  WHERE consumer = $1 AND applied_at < now() - make_interval(days => $2) LIMIT 10000))",
            days: shared.settings.inbox_days,
        },
        // Until then Kafka may deliver again what was given up, and it must not be applied.
        Old {
            sql: "DELETE FROM inbox_parked WHERE ctid = ANY(ARRAY(SELECT ctid FROM inbox_parked
                  WHERE consumer = $1 AND state IN ('applied', 'discarded')
                    AND changed_at < now() - make_interval(days => $2) LIMIT 10000 FOR UPDATE SKIP LOCKED))",
            days: shared.settings.inbox_parked_days,
        },
    ];
    loop {
        for old in &all {
            while forget_some(&shared, old).await {}
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Whether there may be more.
async fn forget_some<S>(shared: &Shared<S>, old: &Old) -> bool {
    match forget(shared, old).await {
        Ok(forgotten) => forgotten == BATCH,
        Err(error) => {
            tracing::warn!(error = cause_chain(&error), "old inbox rows not forgotten");
            false
        }
    }
}

async fn forget<S>(shared: &Shared<S>, old: &Old) -> Result<usize, DbError> {
    let consumer = shared.consumer();
    shared
        .db
        .transaction("inbox.forget", async |tx| -> Result<usize, DbError> {
            Ok(sql_query(old.sql)
                .bind::<Text, _>(consumer)
                .bind::<Integer, _>(i32::from(old.days))
                .execute(&mut **tx)
                .await?)
        })
        .await
}
