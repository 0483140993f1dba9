use std::{sync::Arc, time::Duration};

use connect::{ConnectError, PgConnection, PostgresSettings};
use db::lock_class;
use tokio::sync::Notify;
use tokio_postgres::{AsyncMessage, Client, Connection, Statement, error::DbError};

use super::read;

/// A relay's connection to the log. Whatever it knows of snapshots ends with it: a new connection
/// starts from the saved cursor, because a crash of PostgreSQL gives the ids of unflushed
/// transactions to others.
pub struct Session {
    pub(crate) client: Client,
    pub(crate) statements: Statements,
    woken: Arc<Notify>,
}

pub(crate) struct Statements {
    pub tick: Statement,
    pub lowest: Statement,
    pub page: Statement,
    pub save: Statement,
    pub sleep: Statement,
    pub wake: Statement,
}

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the outbox cannot be read")]
    Query(#[from] tokio_postgres::Error),
    #[error(
        "the relay's role {role} may not call pg_control_system(), which tells on which cluster a database is, and the cursor does not \
         tell it either; as a superuser, in this database: GRANT EXECUTE ON FUNCTION pg_control_system() TO {role}"
    )]
    UnknownCluster { role: String },
    #[error(
        "this outbox was read on the database cluster {saved} and is now on {found}: it was copied or restored elsewhere, and the \
         saved position means nothing here; start the relay once with --go-on-from now (what is in the outbox counts as \
         sent) or --go-on-from all (all of it is sent again; consumers drop what they know)"
    )]
    OtherCluster { saved: i64, found: i64 },
    #[error(
        "the database was promoted from timeline {saved} to {found}; start the relay with --on-promotion go-on if that was \
         meant"
    )]
    Promoted { saved: i32, found: i32 },
}

/// Without these an unanalysed table is scanned from end to end. Commits need not wait for the
/// disk: a cursor that a crash takes back only sends again. What is read may be a backlog of any
/// size, so nothing is ended for taking long, whatever the role has by default; what waits for a
/// lock gives up after a minute and says so.
const SETUP: &str = "SET jit = off; SET enable_seqscan = off; SET enable_bitmapscan = off;
    SET plan_cache_mode = force_generic_plan; SET synchronous_commit = off;
    SET statement_timeout = 0; SET lock_timeout = '60s'; LISTEN outbox;";

/// A relay that is frozen, or whose host is gone, loses its session and with it the lock, wherever
/// that happens: between two statements, inside a transaction, or in the middle of an answer that
/// it does not take. For the last of these only the server's system can tell (`tcp_user_timeout`);
/// the look at the connection ends a statement whose relay is gone. A server that does not have one
/// of these is told so in the log, and is used without.
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
            set_what_is_there(&client).await?;
        }
        let statements = Statements {
            tick: client.prepare(&read::tick_sql()).await?,
            lowest: client.prepare(read::LOWEST_SQL).await?,
            page: client.prepare(&read::page_sql()).await?,
            save: client.prepare(super::cursor::SAVE_SQL).await?,
            sleep: client.prepare("SELECT pg_try_advisory_lock($1, 0)").await?,
            wake: client.prepare("SELECT pg_advisory_unlock($1, 0)").await?,
        };
        Ok(Self {
            client,
            statements,
            woken,
        })
    }

    /// Becomes the one relay of this database, until the session ends; `false` while another one
    /// is.
    pub async fn try_lead(&self) -> Result<bool, LogError> {
        let class = lock_class::OUTBOX_RELAY;
        Ok(self
            .client
            .query_one("SELECT pg_try_advisory_lock($1, 0)", &[&class])
            .await?
            .get(0))
    }

    /// Begins to sleep: from now on publishers wake this session. `false` while a publisher is
    /// under way, whose event would be missed. After it succeeds, look once more before sleeping.
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

    /// Waits for a notification, at most `limit`.
    pub async fn notified(&self, limit: Duration) {
        // Either way there is only one thing to do: look.
        let _ = tokio::time::timeout(limit, self.woken.notified()).await;
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

/// Each setting by itself: one that is not there takes those beside it along.
async fn set_what_is_there(client: &Client) -> Result<(), LogError> {
    for setting in LOSE_THE_LEAD {
        if let Err(error) = client.batch_execute(setting).await {
            // Only what the server says of the setting: a lost connection is no reason to go on.
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

/// A pooler that lends a server's session for one transaction at a time gives it to the next who
/// asks. The lock that makes a relay the only one would be anyone's.
async fn refuse_a_pooler(
    client: &Client,
    settings: &PostgresSettings,
    application: &str,
) -> Result<(), LogError> {
    let other = open(settings, application, &Arc::default()).await?;
    let of = async |client: &Client| -> Result<i32, tokio_postgres::Error> {
        Ok(client
            .query_one("SELECT pg_backend_pid()", &[])
            .await?
            .get(0))
    };
    let (ours, others) = (of(client).await?, of(&other).await?);
    if ours == others || ours != of(client).await? {
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
                // The session's next query says what happened.
                Some(Err(_)) | None => return,
            }
        }
    });
    client
}
