use std::{sync::Arc, time::Duration};

use connect::{ConnectError, PgConnection, PostgresSettings};
use db::lock_class;
use tokio::sync::Notify;
use tokio_postgres::{AsyncMessage, Client, Connection, error::DbError};

use super::{error::LogError, statements::Statements};

/// A relay's connection to the log. What the relay knows of snapshots ends with it: a new
/// connection starts from the saved cursor, because after a crash PostgreSQL gives the ids of
/// unflushed transactions to other ones.
pub struct Session {
    pub(crate) client: Client,
    pub(crate) statements: Statements,
    woken: Arc<Notify>,
}

/// The settings of a relay's session. The first ones keep PostgreSQL from scanning all of a table
/// that is not analysed. Commits do not wait for the disk: after a crash that takes a cursor back,
/// some events are sent again. A backlog may be of any size, so a statement has no time limit,
/// whatever the role's default; only waiting for a lock ends after a minute, with an error.
const SETUP: &str = "SET jit = off; SET enable_seqscan = off; SET enable_bitmapscan = off;
    SET plan_cache_mode = force_generic_plan; SET synchronous_commit = off;
    SET statement_timeout = 0; SET lock_timeout = '60s'; LISTEN outbox;";

/// The settings by which PostgreSQL ends the session of a leader that is frozen or whose host is
/// gone, so that a standby gets the lock. They cover all moments: between two statements, inside a
/// transaction, and in the middle of an answer that the relay does not take, where only the
/// server's operating system can notice it (`tcp_user_timeout`). The check of the connection ends a
/// statement whose relay is gone. The relay works without those that the server does not have, and
/// logs a warning.
const LOSE_THE_LEAD: [&str; 7] = [
    "SET idle_session_timeout = '15s'",
    "SET idle_in_transaction_session_timeout = '15s'",
    "SET tcp_user_timeout = '15s'",
    "SET tcp_keepalives_idle = '5s'",
    "SET tcp_keepalives_interval = '5s'",
    "SET tcp_keepalives_count = 2",
    "SET client_connection_check_interval = '5s'",
];

impl Session {
    pub async fn open(settings: &PostgresSettings, application: &str) -> Result<Self, LogError> {
        let woken = Arc::new(Notify::new());
        let client = open(settings, application, &woken).await?;
        refuse_a_pooler(&client, settings, application).await?;
        client.batch_execute(SETUP).await?;
        if client
            .batch_execute(&LOSE_THE_LEAD.join("; "))
            .await
            .is_err()
        {
            set_one_by_one(&client).await?;
        }
        let statements = Statements::prepare(&client).await?;
        Ok(Self {
            client,
            statements,
            woken,
        })
    }

    /// Tries to become the leader of this database, until the session ends; `false` while another
    /// relay leads.
    pub async fn try_lead(&self) -> Result<bool, LogError> {
        let class = lock_class::OUTBOX_RELAY;
        Ok(self
            .client
            .query_one("SELECT pg_try_advisory_lock($1, 0)", &[&class])
            .await?
            .get(0))
    }

    /// Tries to begin to sleep: from then on publishers wake this session. `false` while a
    /// publisher's transaction is open, whose event would be missed. After it succeeds, the caller
    /// must poll once more before it waits.
    pub async fn try_sleep(&self) -> Result<bool, LogError> {
        let class = lock_class::OUTBOX_SLEEP;
        Ok(self
            .client
            .query_one(&self.statements.sleep, &[&class])
            .await?
            .get(0))
    }

    /// Ends the sleep: publishers no longer notify.
    pub async fn wake(&self) -> Result<(), LogError> {
        let class = lock_class::OUTBOX_SLEEP;
        self.client
            .query_one(&self.statements.wake, &[&class])
            .await?;
        Ok(())
    }

    /// Waits for a notification, or until the timeout.
    pub async fn notified(&self, timeout: Duration) {
        // A timeout is no error: in both cases the caller polls the log.
        let _ = tokio::time::timeout(timeout, self.woken.notified()).await;
    }

    /// Keeps the session from being idle.
    pub async fn ping(&self) -> Result<(), LogError> {
        Ok(self.client.batch_execute("").await?)
    }
}

async fn open(
    settings: &PostgresSettings,
    application: &str,
    woken: &Arc<Notify>,
) -> Result<Client, ConnectError> {
    Ok(match settings.open(application).await? {
        PgConnection::Plain(client, connection) => drive(client, connection, woken.clone()),
        PgConnection::Tls(client, connection) => drive(client, connection, woken.clone()),
    })
}

/// Sets each setting in a statement of its own, so that one that the server does not have does not
/// prevent the others.
async fn set_one_by_one(client: &Client) -> Result<(), LogError> {
    for setting in LOSE_THE_LEAD {
        if let Err(error) = client.batch_execute(setting).await {
            // Only an answer of the server is a reason to go on; a lost connection is an error.
            let reason = error.as_db_error().map(DbError::to_string).ok_or(error)?;
            tracing::warn!(
                setting,
                reason,
                "this PostgreSQL does not have a setting of the relay's"
            );
        }
    }
    Ok(())
}

/// Returns an error if a pooler is in between that gives a server's session to another client after
/// each transaction. The lock that makes a relay the leader would go along with it. Two sessions
/// with the same process of the server show it.
async fn refuse_a_pooler(
    client: &Client,
    settings: &PostgresSettings,
    application: &str,
) -> Result<(), LogError> {
    let other = open(settings, application, &Arc::default()).await?;
    let pid = async |client: &Client| -> Result<i32, tokio_postgres::Error> {
        Ok(client
            .query_one("SELECT pg_backend_pid()", &[])
            .await?
            .get(0))
    };
    let (ours, others) = (pid(client).await?, pid(&other).await?);
    if ours == others || ours != pid(client).await? {
        return Err(ConnectError::Pooler(None).into());
    }
    Ok(())
}

fn drive<S, T>(client: Client, mut connection: Connection<S, T>, woken: Arc<Notify>) -> Client
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        loop {
            match std::future::poll_fn(|context| connection.poll_message(context)).await {
                Some(Ok(AsyncMessage::Notification(_))) => woken.notify_one(),
                Some(Ok(_)) => {}
                // The session's next query returns the error.
                Some(Err(_)) | None => return,
            }
        }
    });
    client
}
