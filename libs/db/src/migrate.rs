use diesel::pg::Pg;
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};

use crate::{DbSettings, lock_class, pool::connect};

/// One part's migrations: a service's own, or those of a library whose tables live in the service's database.
pub type Migrations = EmbeddedMigrations;

#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error("cannot connect to the database to migrate it")]
    Connect(#[source] diesel::ConnectionError),
    #[error("the lock for migrations cannot be had")]
    Lock(#[source] diesel::result::Error),
    #[error("migration failed: {0}")]
    Run(String),
}

/// Brings the database up to date, under a lock, so that several replicas may start at once.
pub async fn migrate(settings: &DbSettings, sets: Vec<Migrations>) -> Result<(), MigrateError> {
    let mut conn = connect(&settings.postgres, "migration")
        .await
        .map_err(MigrateError::Connect)?;
    conn.batch_execute(&format!("SELECT pg_advisory_lock({}, 0)", lock_class::MIGRATION))
        .await
        .map_err(MigrateError::Lock)?;
    // Migrations block. The lock ends with the session, and the session with the connection.
    tokio::task::spawn_blocking(move || run(conn, sets))
        .await
        .map_err(|panic| MigrateError::Run(panic.to_string()))?
}

fn run(conn: AsyncPgConnection, sets: Vec<Migrations>) -> Result<(), MigrateError> {
    let mut harness = AsyncMigrationHarness::new(conn);
    for set in sets {
        let done = MigrationHarness::<Pg>::run_pending_migrations(&mut harness, set)
            .map_err(|error| MigrateError::Run(error.to_string()))?;
        for version in done {
            tracing::info!(%version, "migrated");
        }
    }
    Ok(())
}
