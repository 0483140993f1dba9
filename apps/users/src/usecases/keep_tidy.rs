use std::time::Duration;

use db::{Db, DbError};
use kernel::cause_chain;
use tokio_util::sync::CancellationToken;

use super::prepare_emails::prepare_emails;
use crate::store::{login_failures, sessions};

const INTERVAL: Duration = Duration::from_secs(60);

/// Until `stop`, at an interval: prepares the addresses that a replica of an earlier release adds,
/// and deletes old failures to log in and expired sessions.
pub async fn keep_tidy(db: &Db, stop: CancellationToken) {
    loop {
        if let Err(error) = prepare_emails(db).await {
            tracing::warn!(error = cause_chain(&error), "e-mail addresses not prepared");
        }
        if let Err(error) = purge(db).await {
            tracing::warn!(
                error = cause_chain(&error),
                "old failures to log in and sessions not purged"
            );
        }
        if stop
            .run_until_cancelled(tokio::time::sleep(INTERVAL))
            .await
            .is_none()
        {
            return;
        }
    }
}

async fn purge(db: &Db) -> Result<(), DbError> {
    const BATCH_MAX: i64 = 1000;
    loop {
        let purged = db
            .transaction("users.purge", async |tx| -> Result<usize, DbError> {
                Ok(
                    login_failures::purge(tx, login_failures::REMEMBERED_MAX, BATCH_MAX).await?
                        + sessions::purge(tx, BATCH_MAX).await?,
                )
            })
            .await?;
        if purged == 0 {
            return Ok(());
        }
    }
}
