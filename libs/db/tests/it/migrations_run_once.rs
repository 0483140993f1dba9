use db::{Db, migrate};

use crate::fixture::Fixture;

/// A set of one migration, which notes each of its runs.
const SETS: [db::Migrations; 1] = [db::Migrations::new(
    diesel_migrations::embed_migrations!("tests/migrations"),
    &[],
)];

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_start_at_once_migrate_once() {
    let fixture = Fixture::new().await;
    let mut replicas = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let settings = fixture.settings.clone();
        replicas.spawn(async move { migrate(&settings, SETS.into()).await });
    }
    for migrated in replicas.join_all().await {
        migrated.unwrap();
    }
    // The migration adds a row each time it runs.
    assert_eq!(fixture.number("SELECT count(*) FROM migrated").await, 1);
    migrate(&fixture.settings, SETS.into()).await.unwrap();
    assert_eq!(fixture.number("SELECT count(*) FROM migrated").await, 1);
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    crate::fixture::until("the lock to go", async || fixture.number(locks).await == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_words_are_not_understood_is_refused() {
    let fixture = Fixture::new().await;
    let name: String = fixture
        .sql
        .query_one("SELECT current_database()::text", &[])
        .await
        .unwrap()
        .get(0);
    // The server need not have the language: the setting is what the library reads.
    let set = format!("ALTER DATABASE \"{name}\" SET lc_messages = 'de_DE.UTF-8'");
    if fixture.sql.batch_execute(&set).await.is_ok() {
        let error = Db::open(&fixture.settings, "db-test")
            .await
            .map(drop)
            .unwrap_err();
        assert!(error.to_string().contains("de_DE"), "{error}");
    }
}
