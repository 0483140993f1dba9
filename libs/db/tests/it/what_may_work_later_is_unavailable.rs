use db::{Db, DbSettings};
use kernel::{Class, Classify};

use crate::fixture::{Fixture, WorkError, run, until};

fn class(outcome: Result<(), WorkError>) -> (Class, String) {
    match outcome {
        Err(WorkError::Db(class, cause)) => (class, cause),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_is() {
    let fixture = Fixture::new().await;
    fixture
        .work("INSERT INTO numbers VALUES (1), (2)")
        .await
        .unwrap();
    let lock = |n| format!("SELECT FROM numbers WHERE n = {n} FOR UPDATE");
    let barrier = tokio::sync::Barrier::new(2);
    let both = async |first: i32, second: i32| {
        fixture
            .db
            .transaction("test.deadlock", async |tx| -> Result<(), WorkError> {
                run(tx, &lock(first)).await?;
                barrier.wait().await;
                run(tx, &lock(second)).await
            })
            .await
    };
    let (one, other) = tokio::join!(both(1, 2), both(2, 1));
    let failed = if one.is_ok() { other } else { one };
    let (class, cause) = class(failed);
    assert_eq!(class, Class::Unavailable, "{cause}");
    assert!(cause.contains("deadlock"), "{cause}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_does_not_come_in_time_is() {
    let fixture = Fixture::new().await;
    fixture
        .sql
        .batch_execute("BEGIN; LOCK TABLE numbers")
        .await
        .unwrap();
    let outcome = fixture
        .work("SET LOCAL lock_timeout = '50ms'; INSERT INTO numbers VALUES (1)")
        .await;
    let (class, cause) = class(outcome);
    assert_eq!(class, Class::Unavailable, "{cause}");
    assert!(cause.contains("lock timeout"), "{cause}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_takes_too_long_is() {
    let fixture = Fixture::new().await;
    let outcome = fixture
        .work("SET LOCAL statement_timeout = '50ms'; SELECT pg_sleep(60)")
        .await;
    assert_eq!(class(outcome).0, Class::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_of_serializable_transactions_is() {
    let fixture = Fixture::new().await;
    fixture
        .work("INSERT INTO numbers VALUES (1)")
        .await
        .unwrap();
    let outcome = fixture
        .db
        .transaction("test.serializable", async |tx| -> Result<(), WorkError> {
            run(
                tx,
                "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT FROM numbers",
            )
            .await?;
            fixture
                .sql
                .batch_execute("UPDATE numbers SET n = 2")
                .await
                .unwrap();
            run(tx, "UPDATE numbers SET n = 3").await
        })
        .await;
    let (class, cause) = class(outcome);
    assert_eq!(class, Class::Unavailable, "{cause}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_server_ends_is() {
    let fixture = Fixture::new().await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name = 'db-test'";
    // Between two statements, and inside one.
    for statements in ["SELECT 1", "SELECT pg_sleep(60)"] {
        let (outcome, ()) = tokio::join!(
            fixture
                .db
                .transaction("test.ended", async |tx| -> Result<(), WorkError> {
                    run(tx, "INSERT INTO numbers VALUES (1)").await?;
                    if statements == "SELECT 1" {
                        fixture.sql.execute(end, &[]).await.unwrap();
                        until("it to end", async || fixture.in_transaction().await == 0).await;
                    }
                    run(tx, statements).await
                }),
            async {
                if statements != "SELECT 1" {
                    let asleep =
                        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                                  AND wait_event = 'PgSleep'";
                    until("it to sleep", async || fixture.number(asleep).await == 1).await;
                    fixture.sql.execute(end, &[]).await.unwrap();
                }
            }
        );
        let (class, cause) = class(outcome);
        assert_eq!(class, Class::Unavailable, "{statements}: {cause}");
    }
    assert!(fixture.numbers().await.is_empty());
    // There is at most one failure for each connection that was not used since.
    until("a good connection", async || {
        fixture.work("SELECT 1").await.is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is() {
    let mut settings = DbSettings::new("postgres://user:x@127.0.0.1:1/nothing");
    settings.database_pool_timeout = 1;
    let error = Db::open(&settings, "db-test").await.map(drop).unwrap_err();
    assert_eq!(error.class(), Class::Unavailable, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_without_a_free_connection_is() {
    let fixture = Fixture::new().await;
    let settings = DbSettings {
        database_pool_size: 2,
        database_pool_timeout: 1,
        ..fixture.settings.clone()
    };
    let db = Db::open(&settings, "db-test").await.unwrap();
    let all_busy = tokio::sync::Barrier::new(3);
    let done = tokio::sync::Barrier::new(3);
    let hold = async || {
        db.transaction("test.hold", async |_| -> Result<(), WorkError> {
            all_busy.wait().await;
            done.wait().await;
            Ok(())
        })
        .await
    };
    let (one, two, three) = tokio::join!(hold(), hold(), async {
        all_busy.wait().await;
        let third = db
            .transaction("test.third", async |_| -> Result<(), WorkError> { Ok(()) })
            .await;
        done.wait().await;
        third
    });
    assert_eq!((one, two), (Ok(()), Ok(())));
    assert_eq!(class(three).0, Class::Unavailable);
}

/// Two transactions find no row and insert it: the next attempt of the second one finds it.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_somebody_else_adds_first_is() {
    let fixture = Fixture::new().await;
    let insert = "INSERT INTO numbers VALUES (1)";
    fixture.work(insert).await.unwrap();
    let (class, cause) = class(fixture.work(insert).await);
    assert_eq!(class, Class::Unavailable, "{cause}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_statement_is_a_bug() {
    let fixture = Fixture::new().await;
    for statements in [
        "INSERT INTO numbers VALUES (NULL)",
        "SELECT 1 / 0",
        "SELECT FROM no_such_table",
        "this is no SQL",
    ] {
        let (class, cause) = class(fixture.work(statements).await);
        assert_eq!(class, Class::Bug, "{statements}: {cause}");
    }
}
