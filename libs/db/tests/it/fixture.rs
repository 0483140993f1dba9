use std::{future::Future, time::Duration};

use db::{Db, DbError, DbSettings, Tx};
use diesel_async::SimpleAsyncConnection;
use kernel::{Class, Classify};

/// An error of the caller's own.
#[derive(PartialEq, Eq, Debug)]
pub enum WorkError {
    Own(u32),
    Db(Class, String),
}
impl From<DbError> for WorkError {
    fn from(error: DbError) -> Self {
        Self::Db(error.class(), kernel::cause_chain(&error))
    }
}

/// A database of a test's own with a table of numbers, and a session beside the pool.
pub struct Fixture {
    pub db: Db,
    pub settings: DbSettings,
    pub sql: tokio_postgres::Client,
}

impl Fixture {
    pub async fn new() -> Self {
        let postgres = &backing::shared().await.unwrap().postgres;
        let name = format!("db-{}", uuid::Uuid::new_v4().simple());
        let settings = DbSettings {
            database_pool_size: 3,
            ..DbSettings::new(postgres.create_database(&name).await.unwrap())
        };
        let sql = postgres.connect(&name).await.unwrap();
        sql.batch_execute("CREATE TABLE numbers (n integer PRIMARY KEY)")
            .await
            .unwrap();
        Self {
            db: Db::open(&settings, "db-test").await.unwrap(),
            settings,
            sql,
        }
    }

    /// Another session beside the pool.
    pub async fn another(&self) -> tokio_postgres::Client {
        let name: String = self
            .sql
            .query_one("SELECT current_database()::text", &[])
            .await
            .unwrap()
            .get(0);
        let postgres = &backing::shared().await.unwrap().postgres;
        postgres.connect(&name).await.unwrap()
    }

    /// The process of the one session of this database that has this name.
    pub async fn pid_of(&self, application: &str) -> i32 {
        let sql = "SELECT pid FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name = $1";
        self.sql
            .query_one(sql, &[&application])
            .await
            .unwrap()
            .get(0)
    }

    /// Carries out statements in a transaction.
    pub async fn work(&self, statements: &str) -> Result<(), WorkError> {
        self.db
            .transaction("test.work", async |tx| run(tx, statements).await)
            .await
    }

    pub async fn number(&self, sql: &str) -> i64 {
        self.sql.query_one(sql, &[]).await.unwrap().get(0)
    }

    pub async fn numbers(&self) -> Vec<i32> {
        let rows = self
            .sql
            .query("SELECT n FROM numbers ORDER BY n", &[])
            .await
            .unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// How many of the pool's sessions are inside a transaction.
    pub async fn in_transaction(&self) -> i64 {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                   AND application_name = 'db-test' AND state LIKE 'idle in transaction%'";
        self.number(sql).await
    }

    /// How many of the pool's sessions wait for a lock.
    pub async fn waiting(&self) -> i64 {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                   AND application_name = 'db-test' AND wait_event_type = 'Lock'";
        self.number(sql).await
    }
}

pub async fn run(tx: &mut Tx<'_>, statements: &str) -> Result<(), WorkError> {
    Ok(tx.batch_execute(statements).await.map_err(DbError::from)?)
}

/// Waits until the condition is true.
pub async fn until<F: Future<Output = bool>>(what: &str, ask: impl Fn() -> F) {
    const TIMEOUT: Duration = Duration::from_secs(30);
    let deadline = tokio::time::Instant::now() + TIMEOUT;
    while !ask().await {
        assert!(
            tokio::time::Instant::now() < deadline,
            "not within {TIMEOUT:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
