use std::time::{Duration, Instant};

use db::{DbSettings, MigrateError, migrate};
use tokio_postgres::Client;

use crate::fixture::{Fixture, until};

const SETS: [db::Migrations; 1] = [db::Migrations::new(
    diesel_migrations::embed_migrations!("tests/altering"),
    &[],
)];

/// The fixture's settings, for a migration that waits at most this many seconds for locks.
fn waiting_at_most(fixture: &Fixture, seconds: u64) -> DbSettings {
    DbSettings {
        migration_patience: seconds,
        ..fixture.settings.clone()
    }
}

/// Another session that holds locks by `statement`, and its process id.
async fn held_by(fixture: &Fixture, statement: &str) -> (Client, i32) {
    let other = fixture.another().await;
    other
        .batch_execute("SET application_name = 'a long report'")
        .await
        .unwrap();
    other.batch_execute(statement).await.unwrap();
    let pid = fixture.pid_of("a long report").await;
    (other, pid)
}

fn names(error: &MigrateError, pid: i32, words: &str) {
    let said = error.to_string();
    for part in [
        &format!("pid {pid} "),
        "\"a long report\"",
        " s)",
        words,
        "MIGRATION_PATIENCE",
    ] {
        assert!(said.contains(part), "{part} in: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_waits_for_another_one_for_a_while_and_says_for_whom() {
    let fixture = Fixture::new().await;
    let (other, pid) = held_by(&fixture, "SELECT pg_advisory_lock(1, 0)").await;
    let began = Instant::now();
    let error = migrate(&waiting_at_most(&fixture, 2), SETS.into())
        .await
        .unwrap_err();
    assert!(
        (1..10).contains(&began.elapsed().as_secs()),
        "{:?}",
        began.elapsed()
    );
    names(&error, pid, "SELECT pg_advisory_lock(1, 0)");

    let settings = waiting_at_most(&fixture, 30);
    let waiting = tokio::spawn(async move { migrate(&settings, SETS.into()).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(other);
    waiting.await.unwrap().unwrap();
    assert_eq!(altered(&fixture).await, (1, 1));
}

/// Other sessions that use the table wait behind the migration, and so behind the session that the
/// migration waits for.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_waits_for_a_table_keeps_it_from_no_others() {
    let fixture = Fixture::new().await;
    let (other, pid) = held_by(&fixture, "BEGIN; SELECT count(*) FROM numbers").await;
    let settings = waiting_at_most(&fixture, 6);
    let waiting = tokio::spawn(async move { migrate(&settings, SETS.into()).await });
    let (mut longest, mut served) = (Duration::ZERO, 0);
    while !waiting.is_finished() {
        let began = Instant::now();
        fixture
            .work(&format!(
                "INSERT INTO numbers VALUES ({served}); SELECT count(*) FROM numbers"
            ))
            .await
            .unwrap();
        longest = longest.max(began.elapsed());
        served += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let error = waiting.await.unwrap().unwrap_err();
    names(&error, pid, "SELECT count(*) FROM numbers");
    assert!(
        longest < Duration::from_secs(2),
        "{longest:?} for one of {served}"
    );
    assert!(served > 20, "{served}");
    assert_eq!(
        altered(&fixture).await,
        (0, 0),
        "what was begun was taken back"
    );
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    until("the lock to go", async || fixture.number(locks).await == 0).await;

    let settings = waiting_at_most(&fixture, 30);
    let waiting = tokio::spawn(async move { migrate(&settings, SETS.into()).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    other.batch_execute("COMMIT").await.unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(altered(&fixture).await, (1, 1));
}

/// Whether the first and the second statement of the migration took effect.
async fn altered(fixture: &Fixture) -> (i64, i64) {
    let begun = "SELECT count(*) FROM pg_tables WHERE tablename = 'begun'";
    let ended = "SELECT count(*) FROM information_schema.columns
                 WHERE table_name = 'numbers' AND column_name = 'note'";
    (fixture.number(begun).await, fixture.number(ended).await)
}
