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

/// Forgets what was applied long ago, a little at a time, until it is dropped.
pub(crate) async fn run<S>(shared: Arc<Shared<S>>) {
    loop {
        match forget(&shared).await {
            Ok(BATCH) => continue,
            Ok(_) => {}
            Err(error) => tracing::warn!(error = cause_chain(&error), "old inbox rows not forgotten"),
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn forget<S>(shared: &Shared<S>) -> Result<usize, DbError> {
    let (consumer, days) = (shared.consumer(), i32::from(shared.settings.inbox_days));
    shared
        .db
        .transaction("inbox.forget", async |tx| -> Result<usize, DbError> {
            let sql = "DELETE FROM inbox WHERE ctid = ANY(ARRAY(SELECT ctid FROM inbox
                       WHERE consumer = $1 AND applied_at < now() - make_interval(days => $2) LIMIT 10000))";
            Ok(sql_query(sql)
                .bind::<Text, _>(consumer)
                .bind::<Integer, _>(days)
                .execute(&mut **tx)
                .await?)
        })
        .await
}
