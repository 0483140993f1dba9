use std::time::Duration;

use connect::{ConnectError, PgConnection, PostgresSettings, Secret};
use diesel::{ConnectionError, ConnectionResult};
use diesel_async::{
    AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection,
    pooled_connection::{
        AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod,
        bb8::{Pool, PooledConnection},
    },
};
use futures_util::FutureExt;
use prometheus_client::registry::Registry;

use crate::{
    DbError,
    metrics::{DbMetrics, PoolMetrics},
    pulse::Pulse,
};

/// Where a service's database is, and how many connections it may have.
#[derive(Clone, Debug, clap::Args)]
pub struct DbSettings {
    #[command(flatten)]
    pub postgres: PostgresSettings,

    /// The same database for its owner, who runs migrations, or file:/path; without it migrations
    /// run by DATABASE_URL, if its role may
    #[arg(
        long,
        env = "MIGRATION_DATABASE_URL",
        hide_env_values = true,
        help_heading = "PostgreSQL"
    )]
    pub migration_database_url: Option<Secret>,

    /// Connections that the service keeps at most
    #[arg(long, env = "DATABASE_POOL_SIZE", default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=500), help_heading = "PostgreSQL")]
    pub database_pool_size: u32,

    /// Seconds that a request waits for a free connection before it is answered with 503
    #[arg(
        long,
        env = "DATABASE_POOL_TIMEOUT",
        default_value_t = 5,
        help_heading = "PostgreSQL"
    )]
    pub database_pool_timeout: u64,

    /// Seconds that migrations wait for locks of others before they fail
    #[arg(long, env = "MIGRATION_PATIENCE", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86_400), help_heading = "PostgreSQL")]
    pub migration_patience: u64,
}

impl DbSettings {
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            postgres: PostgresSettings::new(url),
            migration_database_url: None,
            database_pool_size: 10,
            database_pool_timeout: 5,
            migration_patience: 120,
        }
    }

    /// Refuses what no attempt could connect with. Nothing is sent.
    pub fn check(&self) -> Result<(), ConnectError> {
        self.postgres.check()?;
        self.for_migrations().check()
    }

    /// The database for who runs migrations.
    pub(crate) fn for_migrations(&self) -> PostgresSettings {
        let owner = self.migration_database_url.as_ref();
        PostgresSettings {
            database_url: owner.unwrap_or(&self.postgres.database_url).clone(),
            ..self.postgres.clone()
        }
    }
}

/// A service's database. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    pool: Pool<AsyncPgConnection>,
    pub(crate) application: &'static str,
    pub(crate) metrics: Option<DbMetrics>,
    pub(crate) pulse: Pulse,
}

impl Db {
    /// Opens the pool. The first connection is made here, so that wrong settings show at once; the
    /// driver's tasks live on the runtime that calls this.
    pub async fn open(settings: &DbSettings, application: &'static str) -> Result<Self, DbError> {
        let mut config = ManagerConfig::default();
        config.recycling_method = RecyclingMethod::Fast;
        let postgres = settings.postgres.clone();
        config.custom_setup = Box::new(move |_| {
            let postgres = postgres.clone();
            async move {
                let mut conn = connect(&postgres, application).await?;
                conn.batch_execute(SETUP)
                    .await
                    .map_err(ConnectionError::CouldntSetupConfiguration)?;
                Ok(conn)
            }
            .boxed()
        });
        let manager =
            AsyncDieselConnectionManager::<AsyncPgConnection>::new_with_config("", config);
        let pool = Pool::builder()
            .max_size(settings.database_pool_size)
            .connection_timeout(Duration::from_secs(settings.database_pool_timeout))
            .idle_timeout(Some(Duration::from_secs(600)))
            .test_on_check_out(false)
            .build(manager)
            .await
            .map_err(|error| DbError::Pool(error.into()))?;
        let db = Self {
            pool,
            application,
            metrics: None,
            pulse: Pulse::new(),
        };
        db.check_language().await?;
        Ok(db)
    }

    /// Errors are told apart by the server's words; see [`DbError`].
    async fn check_language(&self) -> Result<(), DbError> {
        let mut conn = self.connection().await?;
        let language: String = diesel::select(diesel::dsl::sql::<diesel::sql_types::Text>(
            "current_setting('lc_messages')",
        ))
        .get_result(&mut *conn)
        .await?;
        let known = ["", "C", "POSIX"].contains(&language.as_str())
            || language.starts_with("C.")
            || language.starts_with("en_");
        if known {
            Ok(())
        } else {
            Err(DbError::Language(language))
        }
    }

    pub(crate) async fn connection(
        &self,
    ) -> Result<PooledConnection<'_, AsyncPgConnection>, DbError> {
        self.pool.get().await.map_err(DbError::Pool)
    }

    /// When the database last gave a sign of life.
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// The same database, whose pool and transactions `registry` shows from now on.
    #[must_use]
    pub fn observed(mut self, registry: &mut Registry) -> Self {
        registry.register_collector(Box::new(PoolMetrics(self.pool.clone())));
        self.metrics = Some(DbMetrics::register(registry));
        self
    }
}

/// Nothing that a service does takes this long; what does is stuck and must give its locks back.
///
/// And each statement is planned once. Left to itself PostgreSQL plans one that takes arrays anew
/// each time, which costs more than to carry it out. A plan must then suit a table of any size, so
/// it finds rows by an index also where there are few.
const SETUP: &str = "SET statement_timeout = '30s'; SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '60s';
    SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off";

/// One connection outside of any pool.
pub(crate) async fn connect(
    postgres: &PostgresSettings,
    application: &str,
) -> ConnectionResult<AsyncPgConnection> {
    let failed = |error: connect::ConnectError| {
        ConnectionError::CouldntSetupConfiguration(diesel::result::Error::QueryBuilderError(
            Box::new(error),
        ))
    };
    match postgres.open(application).await.map_err(failed)? {
        PgConnection::Plain(client, connection) => {
            AsyncPgConnection::try_from_client_and_connection(client, connection).await
        }
        PgConnection::Tls(client, connection) => {
            AsyncPgConnection::try_from_client_and_connection(client, connection).await
        }
    }
}
