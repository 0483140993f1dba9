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
    blockers::{BlockerWatcher, Blockers},
    connection::connect,
    lock_class,
    rights::{self, OF_MIGRATIONS, Rights},
};

/// The migrations of one part of a service's database, the service's own or that of a library, and
/// the rights of each role on its tables.
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

/// Why the database was not migrated.
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
    /// The role may not create tables, and some migrations are missing.
    #[error(
        "the database lacks migrations ({missing}) and the role {role} may not run them; run this \
         program once with MIGRATE_ONLY=true, and with the address for the database's owner as \
         MIGRATION_DATABASE_URL"
    )]
    Behind { missing: String, role: String },
    /// Another session held a lock for too long. The attempt is rolled back.
    #[error(
        "{what} was waited for during {seconds} s (MIGRATION_PATIENCE) and not had, held by \
         {blockers}; start again when that has ended, or end it with pg_terminate_backend"
    )]
    Blocked {
        what: String,
        seconds: u64,
        blockers: Blockers,
    },
}

/// How long one attempt waits for a lock on a table. All sessions that use the table wait behind it
/// for as long.
const TABLE_LOCK_TIMEOUT: Duration = Duration::from_millis(500);
/// Between two attempts. Meanwhile other sessions can use the table.
const RETRY_DELAY: Duration = Duration::from_millis(1500);
/// How long one attempt waits for the lock for migrations. It may be longer, because only other
/// migrations wait behind it; each further attempt logs a warning.
const MIGRATION_LOCK_TIMEOUT: Duration = Duration::from_secs(3);

/// Brings the database up to date, under a lock, so that several replicas may start at once.
///
/// It waits for locks of other sessions at most as long as the settings say. Each attempt waits for
/// a table only briefly, and is then rolled back, so that sessions that wait behind it go on.
///
/// It runs as the database's owner, and gives the other roles their rights. A role that may not
/// create tables only checks that no migration is missing.
pub async fn migrate(settings: &DbSettings, sets: Vec<Migrations>) -> Result<(), MigrateError> {
    let postgres = settings.for_migrations();
    postgres.check()?;
    let mut conn = connect(&postgres, "migration")
        .await
        .map_err(MigrateError::Connect)?;
    let role = CurrentRole::read(&mut conn).await?;
    if !role.may_migrate {
        return role.refuse_if_behind(&mut conn, &sets).await;
    }
    let pid = select(diesel::dsl::sql::<Integer>("pg_backend_pid()"))
        .get_result(&mut conn)
        .await
        .map_err(MigrateError::Lock)?;
    let deadline = LockDeadline::new(settings);
    let mut watcher = BlockerWatcher::new(&postgres);
    loop {
        limit_lock_waits(&mut conn, deadline.left().min(MIGRATION_LOCK_TIMEOUT)).await?;
        let lock = format!("SELECT pg_advisory_lock({}, 0)", lock_class::MIGRATION);
        match watcher.watch(pid, conn.batch_execute(&lock)).await {
            Ok(()) => break,
            Err(error) if is_lock_timeout(&error.to_string()) => {
                deadline.check("the lock for migrations", watcher.blockers().await)?;
            }
            Err(error) => return Err(MigrateError::Lock(error)),
        }
    }
    let sets = Arc::new(sets);
    loop {
        limit_lock_waits(&mut conn, TABLE_LOCK_TIMEOUT).await?;
        // Migrations block the thread. The lock ends with the session, which ends with the
        // connection.
        let attempt = tokio::task::spawn_blocking({
            let sets = sets.clone();
            move || run(conn, &sets)
        });
        let attempt = watcher.watch(pid, attempt).await;
        match attempt.map_err(|panic| MigrateError::Run(panic.to_string()))? {
            (mut conn, Ok(())) => return give_rights(&mut conn, &sets).await,
            (same, Err(error)) if is_lock_timeout(&error) => {
                conn = same;
                deadline.check(&format!("a lock ({error})"), watcher.blockers().await)?;
                tokio::time::sleep(RETRY_DELAY).await;
            }
            (_, Err(error)) => return Err(MigrateError::Run(error)),
        }
    }
}

/// The role that this program connects as.
#[derive(QueryableByName)]
struct CurrentRole {
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Bool)]
    may_migrate: bool,
}

impl CurrentRole {
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
        let applied = applied_versions(conn).await?;
        let mut missing = known_versions(sets)?;
        missing.retain(|version| !applied.contains(version));
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

async fn applied_versions(conn: &mut AsyncPgConnection) -> Result<HashSet<String>, MigrateError> {
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

/// Gives the roles their rights, unless the database has migrations of a later release. Then the
/// service was rolled back, and processes of the later release may still need its rights.
async fn give_rights(
    conn: &mut AsyncPgConnection,
    sets: &[Migrations],
) -> Result<(), MigrateError> {
    let known: HashSet<String> = known_versions(sets)?.into_iter().collect();
    let applied = applied_versions(conn).await?;
    if !applied.is_subset(&known) {
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

/// The driver gives no SQLSTATE; see [`crate::DbError`].
fn is_lock_timeout(error: &str) -> bool {
    error.contains("canceling statement due to lock timeout")
}

/// Bounds how long a migration waits for locks of other sessions.
struct LockDeadline {
    began: Instant,
    limit: Duration,
}

impl LockDeadline {
    fn new(settings: &DbSettings) -> Self {
        Self {
            began: Instant::now(),
            limit: Duration::from_secs(settings.migration_patience),
        }
    }

    fn left(&self) -> Duration {
        self.limit.saturating_sub(self.began.elapsed())
    }

    /// Logs which sessions the migration waits for; an error when the limit is reached.
    fn check(&self, what: &str, blockers: Blockers) -> Result<(), MigrateError> {
        if self.left().is_zero() {
            return Err(MigrateError::Blocked {
                what: what.to_owned(),
                seconds: self.limit.as_secs(),
                blockers,
            });
        }
        let seconds = self.began.elapsed().as_secs();
        tracing::warn!(what, %blockers, seconds, "a migration waits");
        Ok(())
    }
}

/// Runs the missing migrations. Returns the connection also after an error.
fn run(conn: AsyncPgConnection, sets: &[Migrations]) -> (AsyncPgConnection, Result<(), String>) {
    let mut harness = AsyncMigrationHarness::new(conn);
    let done = sets.iter().try_for_each(|set| {
        let done = harness.run_pending_migrations(Borrowed(set));
        for version in done.map_err(|error| error.to_string())? {
            tracing::info!(%version, "migrated");
        }
        Ok(())
    });
    (harness.into_inner(), done)
}

/// A set that stays available for another attempt.
struct Borrowed<'s>(&'s Migrations);

impl MigrationSource<Pg> for Borrowed<'_> {
    fn migrations(
        &self,
    ) -> diesel::migration::Result<Vec<Box<dyn diesel::migration::Migration<Pg>>>> {
        self.0.embedded.migrations()
    }
}
