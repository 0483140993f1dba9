use std::sync::{Arc, Mutex};

use db::Tx;

use crate::fixture::{Fixture, WorkError, run, until};

#[tokio::test(flavor = "multi_thread")]
async fn what_succeeds_is_committed_and_what_fails_is_rolled_back() {
    let fixture = Fixture::new().await;
    let value = fixture
        .db
        .transaction("test.good", async |tx| -> Result<_, WorkError> {
            run(tx, "INSERT INTO numbers VALUES (1)").await?;
            Ok("value")
        })
        .await;
    assert_eq!(value, Ok("value"));
    let failed = fixture
        .db
        .transaction("test.bad", async |tx| -> Result<(), WorkError> {
            run(tx, "INSERT INTO numbers VALUES (2)").await?;
            Err(WorkError::Own(7))
        })
        .await;
    assert_eq!(
        failed,
        Err(WorkError::Own(7)),
        "the error comes out unchanged"
    );
    assert_eq!(fixture.numbers().await, [1]);
}

/// PostgreSQL answers COMMIT with ROLLBACK once a statement has failed.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_was_passed_over_is_no_success() {
    let fixture = Fixture::new().await;
    let outcome = fixture
        .db
        .transaction("test.passed_over", async |tx| -> Result<(), WorkError> {
            run(tx, "INSERT INTO numbers VALUES (1)").await?;
            assert!(run(tx, "INSERT INTO numbers VALUES (1)").await.is_err());
            Ok(())
        })
        .await;
    assert!(
        outcome.is_err(),
        "nothing was committed, and the caller gets no error"
    );
    assert!(fixture.numbers().await.is_empty());
}

/// Metrics and messages must report only what was committed.
#[tokio::test(flavor = "multi_thread")]
async fn an_announcement_is_made_after_the_commit_and_only_then() {
    let fixture = Fixture::new().await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let announce = |tx: &mut Tx<'_>, what: &'static str| {
        let told = told.clone();
        tx.when_committed(move || told.lock().unwrap().push(what));
    };
    let committed = fixture
        .db
        .transaction("test.announced", async |tx| -> Result<(), WorkError> {
            run(tx, "INSERT INTO numbers VALUES (1)").await?;
            announce(tx, "outer");
            let kept = tx.savepoint(async |tx| -> Result<(), WorkError> {
                announce(tx, "inner");
                Ok(())
            });
            kept.await?;
            let rolled_back = tx.savepoint(async |tx| -> Result<(), WorkError> {
                announce(tx, "rolled back");
                run(tx, "INSERT INTO numbers VALUES (1)").await
            });
            assert!(rolled_back.await.is_err());
            assert!(told.lock().unwrap().is_empty(), "nothing has happened yet");
            Ok(())
        })
        .await;
    assert_eq!(committed, Ok(()));
    assert_eq!(*told.lock().unwrap(), ["outer", "inner"]);

    let failed = fixture
        .db
        .transaction("test.failed", async |tx| -> Result<(), WorkError> {
            announce(tx, "failed");
            Err(WorkError::Own(7))
        })
        .await;
    assert_eq!(failed, Err(WorkError::Own(7)));
    let passed_over = fixture
        .db
        .transaction("test.passed_over", async |tx| -> Result<(), WorkError> {
            announce(tx, "passed over");
            assert!(run(tx, "INSERT INTO numbers VALUES (1)").await.is_err());
            Ok(())
        })
        .await;
    assert!(passed_over.is_err());
    assert_eq!(
        told.lock().unwrap().len(),
        2,
        "what did not happen is not told"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_savepoint_fails_alone() {
    let fixture = Fixture::new().await;
    let outcome = fixture
        .db
        .transaction("test.savepoint", async |tx| -> Result<(), WorkError> {
            run(tx, "INSERT INTO numbers VALUES (1)").await?;
            let inner = tx
                .savepoint(async |tx| -> Result<(), WorkError> {
                    run(tx, "INSERT INTO numbers VALUES (2)").await?;
                    run(tx, "INSERT INTO numbers VALUES (1)").await
                })
                .await;
            assert!(inner.is_err());
            run(tx, "INSERT INTO numbers VALUES (3)").await
        })
        .await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(fixture.numbers().await, [1, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_future_that_is_dropped_rolls_back_and_frees_its_connection() {
    let fixture = Fixture::new().await;
    // Far more often than there are connections.
    for n in 0..10 {
        let db = fixture.db.clone();
        let work = tokio::spawn(async move {
            db.transaction("test.dropped", async |tx| -> Result<(), WorkError> {
                run(tx, &format!("INSERT INTO numbers VALUES ({n})")).await?;
                std::future::pending().await
            })
            .await
        });
        until("the insert", async || fixture.in_transaction().await == 1).await;
        work.abort();
        assert!(work.await.unwrap_err().is_cancelled());
        until("the rollback", async || fixture.in_transaction().await == 0).await;
    }
    assert!(fixture.numbers().await.is_empty());
    fixture
        .work("INSERT INTO numbers VALUES (1)")
        .await
        .unwrap();
    assert_eq!(fixture.numbers().await, [1]);
}

/// The future is dropped while PostgreSQL executes the statement.
#[tokio::test(flavor = "multi_thread")]
async fn a_future_that_is_dropped_inside_a_statement_has_no_effect() {
    let fixture = Fixture::new().await;
    fixture
        .sql
        .batch_execute("BEGIN; INSERT INTO numbers VALUES (1)")
        .await
        .unwrap();
    let db = fixture.db.clone();
    let work = tokio::spawn(async move {
        db.transaction("test.dropped", async |tx| -> Result<(), WorkError> {
            run(
                tx,
                "INSERT INTO numbers VALUES (2); INSERT INTO numbers VALUES (1)",
            )
            .await
        })
        .await
    });
    until("it to wait", async || fixture.waiting().await == 1).await;
    work.abort();
    assert!(work.await.unwrap_err().is_cancelled());
    fixture.sql.batch_execute("ROLLBACK").await.unwrap();
    until("it to end", async || {
        fixture.waiting().await + fixture.in_transaction().await == 0
    })
    .await;
    assert!(fixture.numbers().await.is_empty());
    fixture
        .work("INSERT INTO numbers VALUES (3)")
        .await
        .unwrap();
}
