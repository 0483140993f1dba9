//! Whether the database is there. It is asked on a connection of its own, since the pool's may all
//! be at work.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use connect::PostgresSettings;
use diesel::{ConnectionError, ConnectionResult};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use kernel::cause_chain;

use crate::pool::connect;

/// Between two questions.
const EVERY: Duration = Duration::from_secs(1);
/// An answer that takes longer will not come: the connection is made anew.
const PATIENCE: Duration = Duration::from_secs(5);
/// A database that has been silent for so long is away. Shorter silence, as under load, is no
/// outage.
const SILENCE: Duration = Duration::from_secs(10);

/// When the database last gave a sign of life.
#[derive(Clone)]
pub struct Pulse(Arc<Mutex<Instant>>);

impl Pulse {
    /// Of a database that has just answered.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// The database has answered.
    pub(crate) fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// For how long the database has been silent, if it is too long.
    pub fn silent_for(&self) -> Option<Duration> {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Some(last.elapsed()).filter(|silence| *silence > SILENCE)
    }

    /// Asks for signs of life, without end.
    pub async fn watch(self, postgres: PostgresSettings, application: &'static str) {
        let mut line = None;
        loop {
            match tokio::time::timeout(PATIENCE, ask(&mut line, &postgres, application)).await {
                Ok(Ok(())) => self.beat(),
                Ok(Err(error)) => {
                    tracing::debug!(error = cause_chain(&error), "the database does not answer");
                    line = None;
                }
                Err(_) => line = None,
            }
            tokio::time::sleep(EVERY).await;
        }
    }
}

async fn ask(
    line: &mut Option<AsyncPgConnection>,
    postgres: &PostgresSettings,
    application: &str,
) -> ConnectionResult<()> {
    let conn = match line {
        Some(conn) => conn,
        None => line.insert(connect(postgres, application).await?),
    };
    conn.batch_execute("SELECT 1")
        .await
        .map_err(ConnectionError::CouldntSetupConfiguration)
}
