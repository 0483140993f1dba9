use db::DbError;
use diesel::sql_query;
use diesel_async::RunQueryDsl;
use futures_util::future::join_all;
use idempotency::{Begun, begin};
use kernel::Classify;
use tokio::sync::oneshot;

use crate::fixture::{Fixture, RequestError, Told, answer, perform, request};

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_at_once_one_has_the_effect() {
    let fixture = Fixture::new().await;
    let sent = (0..100).map(|_| {
        let fixture = fixture.clone();
        tokio::spawn(async move { fixture.send(&request("ann", "k1", "tea")).await })
    });
    let told: Vec<_> = join_all(sent)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let first: Vec<_> = told
        .iter()
        .filter_map(|told| match told {
            Ok(Told::First(answer)) => Some(answer),
            _ => None,
        })
        .collect();
    assert_eq!(first.len(), 1);
    assert_eq!(fixture.effects().await, 1);
    for told in &told {
        match told {
            Ok(Told::First(answer) | Told::Again(answer)) => assert_eq!(answer, first[0]),
            Err(error) => assert_eq!(
                error.key_code(),
                Some("idempotency_key_in_progress"),
                "{error}"
            ),
        }
    }
    let again = fixture.send(&request("ann", "k1", "tea")).await.unwrap();
    assert_eq!(again, Told::Again(first[0].clone()));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_one_is_in_work_the_others_are_told_so_at_once() {
    let fixture = Fixture::new().await;
    let (begun, has_begun) = oneshot::channel();
    let (finish, may_finish) = oneshot::channel::<()>();
    let other = fixture.clone();
    let slow = tokio::spawn(async move {
        let keyed = request("ann", "k1", "tea");
        other
            .db
            .transaction("test.slow", async |tx| -> Result<(), RequestError> {
                let Begun::New(reservation) = begin(tx, &keyed).await? else {
                    panic!("no retry");
                };
                sql_query("INSERT INTO effects (what) VALUES ('slow')")
                    .execute(&mut **tx)
                    .await
                    .map_err(DbError::from)?;
                begun.send(()).unwrap();
                may_finish.await.unwrap();
                Ok(reservation.complete(tx, &answer()).await?)
            })
            .await
    });
    has_begun.await.unwrap();
    // Another request with the key is answered alike: its fingerprint is compared only when the
    // first one is done.
    for what in ["tea", "coffee"] {
        let told = fixture.send(&request("ann", "k1", what)).await.unwrap_err();
        assert_eq!(told.key_code(), Some("idempotency_key_in_progress"));
        let RequestError::Idempotency(error) = told else {
            panic!("{told}");
        };
        assert_eq!(error.retry_after(), Some(1));
    }
    // Requests with other keys do not wait for it.
    for (caller, key) in [("ann", "k2"), ("bob", "k1")] {
        fixture.send(&request(caller, key, "tea")).await.unwrap();
    }
    finish.send(()).unwrap();
    slow.await.unwrap().unwrap();
    let told = fixture.send(&request("ann", "k1", "tea")).await.unwrap();
    assert!(matches!(told, Told::Again(_)));
    assert_eq!(fixture.effects().await, 3);
}

/// The request's connection is lost before its commit: the retry is the first to take effect.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_cut_off_leaves_the_key_free() {
    let fixture = Fixture::new().await;
    let (begun, has_begun) = oneshot::channel();
    let other = fixture.clone();
    let cut_off = tokio::spawn(async move {
        let keyed = request("ann", "k1", "tea");
        other
            .db
            .transaction("test.cut_off", async |tx| -> Result<Told, RequestError> {
                let told = perform(tx, &keyed, Ok(answer())).await?;
                begun.send(()).unwrap();
                std::future::pending::<()>().await;
                Ok(told)
            })
            .await
    });
    has_begun.await.unwrap();
    cut_off.abort();
    assert!(cut_off.await.unwrap_err().is_cancelled());
    // The server notices a moment later; until then the key is in progress.
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    let told = loop {
        match fixture.send(&request("ann", "k1", "tea")).await {
            Err(error) if error.key_code() == Some("idempotency_key_in_progress") => {
                assert!(
                    tokio::time::Instant::now() < deadline,
                    "the key is never free"
                );
                tokio::task::yield_now().await;
            }
            told => break told.unwrap(),
        }
    };
    assert!(matches!(told, Told::First(_)));
    assert_eq!(fixture.effects().await, 1);
}
