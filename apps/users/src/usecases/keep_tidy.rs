use std::time::Duration;

use db::{Db, DbError};
use kernel::cause_chain;
use tokio_util::sync::CancellationToken;

use super::prepare_emails::prepare_emails;
use crate::store::{login_failures, sessions};

const EVERY: Duration = Duration::from_secs(60);

/// Until `stop`: prepares the addresses that a replica of the version before adds, and forgets old
/// failures and sessions.
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
            .run_until_cancelled(tokio::time::sleep(EVERY))
            .await
            .is_none()
        {
            return;
        }
    }
}

async fn purge(db: &Db) -> Result<(), DbError> {
    const BATCH: i64 = 1000;
    loop {
        let purged = db
            .transaction("users.purge", async |tx| -> Result<usize, DbError> {
                Ok(
                    login_failures::purge(tx, login_failures::KEPT, BATCH).await?
                        + sessions::purge(tx, BATCH).await?,
                )
            })
            .await?;
        if purged == 0 {
            return Ok(());
        }
    }
}
