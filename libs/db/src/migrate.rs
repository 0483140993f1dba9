use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use diesel::{
    QueryableByName,
    migration::MigrationSource,
    pg::Pg,
    select, sql_query,
    sql_types::{Bool, Integer, Text},
};
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};

use crate::{
    DbSettings,
    blockers::{Blockers, Watcher},
    lock_class,
    pool::connect,
    rights::{self, OF_MIGRATIONS, Rights},
};

/// One part of a service's database, the service's own or that of a library: how its tables come
/// about, and who may do what with them.
pub struct Migrations {
    embedded: EmbeddedMigrations,
    rights: &'static [Rights],
}

impl Migrations {
    pub const fn new(embedded: EmbeddedMigrations, rights: &'static [Rights]) -> Self {
        Self { embedded, rights }
    }

    fn versions(&self) -> diesel::migration::Result<Vec<String>> {
        let all = MigrationSource::<Pg>::migrations(&self.embedded)?;
        Ok(all
            .iter()
            .map(|migration| migration.name().version().to_string())
            .collect())
    }
}

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
    #[error("it cannot be asked which migrations the database has")]
    Versions(#[source] diesel::result::Error),
    #[error("the roles cannot be given their rights on the tables")]
    Rights(#[source] diesel::result::Error),
    /// The role may not make tables, and some are missing.
    #[error(
        "the database lacks migrations ({missing}) and the role {role} may not run them; run this program once with MIGRATE_ONLY=true, \
         and with the address for the database's owner as MIGRATION_DATABASE_URL"
    )]
    Behind { missing: String, role: String },
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

/// For how long one attempt waits for a lock on a table. All who want the table wait behind it for
/// as long.
const TABLE_LOCK: Duration = Duration::from_millis(500);
/// Between two attempts the table is free for all others.
const PAUSE: Duration = Duration::from_millis(1500);
/// Behind the lock for migrations only other migrations wait.
const MIGRATION_LOCK: Duration = Duration::from_secs(3);

/// Brings the database up to date, under a lock, so that several replicas may start at once.
///
/// Locks that others hold are waited for at most as long as the settings say, and each attempt at
/// one on a table only briefly: it is rolled back, and those who were queued behind it go on.
///
/// It runs as the database's owner, and gives the other roles their rights. A role that may not
/// make tables only looks whether all are there.
pub async fn migrate(settings: &DbSettings, sets: Vec<Migrations>) -> Result<(), MigrateError> {
    let postgres = settings.for_migrations();
    postgres.check()?;
    let mut conn = connect(&postgres, "migration")
        .await
        .map_err(MigrateError::Connect)?;
    let standing = Standing::read(&mut conn).await?;
    if !standing.may_migrate {
        return standing.refuse_if_behind(&mut conn, &sets).await;
    }
    let pid = select(diesel::dsl::sql::<Integer>("pg_backend_pid()"))
        .get_result(&mut conn)
        .await
        .map_err(MigrateError::Lock)?;
    let patience = Patience::new(settings);
    let mut watcher = Watcher::new(&postgres);
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
            (mut conn, Ok(())) => return give_rights(&mut conn, &sets).await,
            (same, Err(error)) if is_lock_timeout(&error) => {
                conn = same;
                patience.wait(&format!("a lock ({error})"), watcher.blockers().await)?;
                tokio::time::sleep(PAUSE).await;
            }
            (_, Err(error)) => return Err(MigrateError::Run(error)),
        }
    }
}

/// Who it is that would migrate.
#[derive(QueryableByName)]
struct Standing {
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Bool)]
    may_migrate: bool,
}

impl Standing {
    async fn read(conn: &mut AsyncPgConnection) -> Result<Self, MigrateError> {
        let sql = "SELECT current_user::text AS role,
            coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_migrate";
        sql_query(sql)
            .get_result(conn)
            .await
            .map_err(MigrateError::Versions)
    }

    async fn refuse_if_behind(
        self,
        conn: &mut AsyncPgConnection,
        sets: &[Migrations],
    ) -> Result<(), MigrateError> {
        let there = versions_there(conn).await?;
        let mut missing = known_versions(sets)?;
        missing.retain(|version| !there.contains(version));
        if missing.is_empty() {
            return Ok(());
        }
        missing.sort();
        Err(MigrateError::Behind {
            missing: missing.join(", "),
            role: self.role,
        })
    }
}

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = Text)]
    version: String,
}

async fn versions_there(conn: &mut AsyncPgConnection) -> Result<HashSet<String>, MigrateError> {
    let exists =
        "SELECT 'x' AS version WHERE to_regclass('__diesel_schema_migrations') IS NOT NULL";
    let load =
        async |conn: &mut AsyncPgConnection, sql: &str| -> Result<Vec<Version>, MigrateError> {
            sql_query(sql)
                .load(conn)
                .await
                .map_err(MigrateError::Versions)
        };
    if load(conn, exists).await?.is_empty() {
        return Ok(HashSet::new());
    }
    let versions = load(conn, "SELECT version FROM __diesel_schema_migrations").await?;
    Ok(versions.into_iter().map(|one| one.version).collect())
}

fn known_versions(sets: &[Migrations]) -> Result<Vec<String>, MigrateError> {
    let mut known = Vec::new();
    for set in sets {
        known.extend(
            set.versions()
                .map_err(|error| MigrateError::Run(error.to_string()))?,
        );
    }
    Ok(known)
}

/// A release that finds migrations of a later one was rolled back to: the rights are that one's,
/// whose processes may still run.
async fn give_rights(
    conn: &mut AsyncPgConnection,
    sets: &[Migrations],
) -> Result<(), MigrateError> {
    let known: HashSet<String> = known_versions(sets)?.into_iter().collect();
    let there = versions_there(conn).await?;
    if !there.is_subset(&known) {
        tracing::info!("the database is of a later release, which gave the roles their rights");
        return Ok(());
    }
    let rights = sets.iter().flat_map(|set| set.rights).chain(&OF_MIGRATIONS);
    rights::give(conn, rights)
        .await
        .map_err(MigrateError::Rights)
}

async fn limit_lock_waits(
    conn: &mut AsyncPgConnection,
    limit: Duration,
) -> Result<(), MigrateError> {
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
    fn migrations(
        &self,
    ) -> diesel::migration::Result<Vec<Box<dyn diesel::migration::Migration<Pg>>>> {
        self.0.embedded.migrations()
    }
}
