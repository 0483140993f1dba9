//! Whether the database answers. The questions have a connection of their own, because all
//! connections of the pool may be in use.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use connect::PostgresSettings;
use diesel::{ConnectionError, ConnectionResult};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use kernel::cause_chain;

use crate::connection::connect;

/// Between two questions.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long an answer may take. Afterwards the connection counts as broken, and a new one is made.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// A database that has been silent for longer than this is unavailable. Under load it may be silent
/// for a shorter time, which is no outage.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// The time when the database last answered.
#[derive(Clone)]
pub struct Heartbeat(Arc<Mutex<Instant>>);

impl Heartbeat {
    /// The heartbeat of a database that has just answered.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// Notes that the database has answered.
    pub(crate) fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long the database has been silent, if that is too long.
    pub fn silent_for(&self) -> Option<Duration> {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Some(last.elapsed()).filter(|silence| *silence > SILENCE_MAX)
    }

    /// Asks the database every second, without end.
    pub async fn watch(self, postgres: PostgresSettings, application: &'static str) {
        let mut connection = None;
        loop {
            match tokio::time::timeout(ANSWER_TIMEOUT, ask(&mut connection, &postgres, application))
                .await
            {
                Ok(Ok(())) => self.beat(),
                Ok(Err(error)) => {
                    tracing::debug!(error = cause_chain(&error), "the database does not answer");
                    connection = None;
                }
                Err(_) => connection = None,
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

async fn ask(
    connection: &mut Option<AsyncPgConnection>,
    postgres: &PostgresSettings,
    application: &str,
) -> ConnectionResult<()> {
    let conn = match connection {
        Some(conn) => conn,
        None => connection.insert(connect(postgres, application).await?),
    };
    conn.batch_execute("SELECT 1")
        .await
        .map_err(ConnectionError::CouldntSetupConfiguration)
}
