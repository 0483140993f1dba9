use std::time::Duration;

use connect::PgConnection;
use kernel::cause_chain;
use outbox::log::{BUCKETS, LogError, empty_bucket};
use tokio_util::sync::CancellationToken;

use crate::RelaySettings;

/// Between looks for buckets to empty. A bucket holds six hours, so a minute is soon enough.
const CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// Empties the log's old buckets every minute, on a connection of its own.
pub async fn run(settings: RelaySettings, stop: CancellationToken) {
    while stop
        .run_until_cancelled(tokio::time::sleep(CHECK_INTERVAL))
        .await
        .is_some()
    {
        if let Err(error) = empty_buckets(&settings).await {
            tracing::warn!(
                error = cause_chain(&error),
                "old events not removed this time"
            );
        }
    }
}

async fn empty_buckets(settings: &RelaySettings) -> Result<(), LogError> {
    let (client, connection) = match settings.postgres.open("outbox-relay maintenance").await? {
        PgConnection::Plain(client, connection) => (
            client,
            tokio::spawn(async move { connection.await.map(drop) }),
        ),
        PgConnection::Tls(client, connection) => (
            client,
            tokio::spawn(async move { connection.await.map(drop) }),
        ),
    };
    for bucket in 0..BUCKETS {
        if empty_bucket(&client, bucket, settings.retention()).await? {
            tracing::info!(bucket, "emptied a bucket of acknowledged events");
        }
    }
    drop(client);
    connection.abort();
    Ok(())
}
