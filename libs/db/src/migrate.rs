use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use diesel::{migration::MigrationSource, pg::Pg, select, sql_types::Integer};
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};

use crate::{
    DbSettings,
    blockers::{Blockers, Watcher},
    lock_class,
    pool::connect,
};

/// One part's migrations: a service's own, or those of a library whose tables live in the service's database.
pub type Migrations = EmbeddedMigrations;

#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error(transparent)]
    Settings(#[from] connect::ConnectError),
    #[error("cannot connect to the database to migrate it")]
    Connect(#[source] diesel::ConnectionError),
    #[error("the lock for migrations cannot be had")]
    Lock(#[source] diesel::result::Error),
    #[error("migration failed: {0}")]
    Run(String),
    /// Another session's lock was in the way for too long. What was begun is taken back.
    #[error(
        "{what} was waited for during {seconds} s (MIGRATION_PATIENCE) and not had, held by {blockers}; start again when that has \
         ended, or end it with pg_terminate_backend"
    )]
    Blocked {
        what: String,
        seconds: u64,
        blockers: Blockers,
    },
}

/// For how long one attempt waits for a lock on a table. All who want the table wait behind it for as long.
const TABLE_LOCK: Duration = Duration::from_millis(500);
/// Between two attempts the table is free for all others.
const PAUSE: Duration = Duration::from_millis(1500);
/// Behind the lock for migrations only other migrations wait.
const MIGRATION_LOCK: Duration = Duration::from_secs(3);

/// Brings the database up to date, under a lock, so that several replicas may start at once.
///
/// Locks that others hold are waited for at most as long as the settings say, and each attempt at one on a table only briefly: it
/// is rolled back, and those who were queued behind it go on.
pub async fn migrate(settings: &DbSettings, sets: Vec<Migrations>) -> Result<(), MigrateError> {
    settings.postgres.check()?;
    let mut conn = connect(&settings.postgres, "migration")
        .await
        .map_err(MigrateError::Connect)?;
    let pid = select(diesel::dsl::sql::<Integer>("pg_backend_pid()"))
        .get_result(&mut conn)
        .await
        .map_err(MigrateError::Lock)?;
    let patience = Patience::new(settings);
    let mut watcher = Watcher::new(&settings.postgres);
    loop {
        limit_lock_waits(&mut conn, patience.left().min(MIGRATION_LOCK)).await?;
        let lock = format!("SELECT pg_advisory_lock({}, 0)", lock_class::MIGRATION);
        match watcher.watch(pid, conn.batch_execute(&lock)).await {
            Ok(()) => break,
            Err(error) if is_lock_timeout(&error.to_string()) => {
                patience.wait("the lock for migrations", watcher.blockers().await)?;
            }
            Err(error) => return Err(MigrateError::Lock(error)),
        }
    }
    let sets = Arc::new(sets);
    loop {
        limit_lock_waits(&mut conn, TABLE_LOCK).await?;
        // Migrations block. The lock ends with the session, and the session with the connection.
        let attempt = tokio::task::spawn_blocking({
            let sets = sets.clone();
            move || run(conn, &sets)
        });
        let attempt = watcher.watch(pid, attempt).await;
        match attempt.map_err(|panic| MigrateError::Run(panic.to_string()))? {
            (_, Ok(())) => return Ok(()),
            (same, Err(error)) if is_lock_timeout(&error) => {
                conn = same;
                patience.wait(&format!("a lock ({error})"), watcher.blockers().await)?;
                tokio::time::sleep(PAUSE).await;
            }
            (_, Err(error)) => return Err(MigrateError::Run(error)),
        }
    }
}

async fn limit_lock_waits(conn: &mut AsyncPgConnection, limit: Duration) -> Result<(), MigrateError> {
    // Zero would be no limit.
    let millis = limit.as_millis().max(1);
    let set = format!("SET lock_timeout = {millis}");
    conn.batch_execute(&set).await.map_err(MigrateError::Lock)
}

/// The driver hands on no SQLSTATE; see [`crate::DbError`].
fn is_lock_timeout(error: &str) -> bool {
    error.contains("canceling statement due to lock timeout")
}

/// How long locks have been waited for.
struct Patience {
    began: Instant,
    most: Duration,
}

impl Patience {
    fn new(settings: &DbSettings) -> Self {
        Self {
            began: Instant::now(),
            most: Duration::from_secs(settings.migration_patience),
        }
    }

    fn left(&self) -> Duration {
        self.most.saturating_sub(self.began.elapsed())
    }

    /// Says who is waited for; an error when that has been long enough.
    fn wait(&self, what: &str, blockers: Blockers) -> Result<(), MigrateError> {
        if self.left().is_zero() {
            return Err(MigrateError::Blocked {
                what: what.to_owned(),
                seconds: self.most.as_secs(),
                blockers,
            });
        }
        let seconds = self.began.elapsed().as_secs();
        tracing::warn!(what, %blockers, seconds, "a migration waits");
        Ok(())
    }
}

/// The connection comes back, whatever came of it.
fn run(conn: AsyncPgConnection, sets: &[Migrations]) -> (AsyncPgConnection, Result<(), String>) {
    let mut harness = AsyncMigrationHarness::new(conn);
    let done = sets.iter().try_for_each(|set| {
        let done = harness.run_pending_migrations(Lent(set));
        for version in done.map_err(|error| error.to_string())? {
            tracing::info!(%version, "migrated");
        }
        Ok(())
    });
    (harness.into_inner(), done)
}

/// A set that is still there for another attempt.
struct Lent<'s>(&'s Migrations);

impl MigrationSource<Pg> for Lent<'_> {
    fn migrations(&self) -> diesel::migration::Result<Vec<Box<dyn diesel::migration::Migration<Pg>>>> {
        self.0.migrations()
    }
}
