use db::DbError;
use idempotency::{forget, is_used, purge};
use kernel::{Class, Classify};

use crate::fixture::{Fixture, RequestError, Told, request};

async fn purged(fixture: &Fixture, limit: i32) -> usize {
    fixture
        .db
        .transaction("test.purge", async |tx| -> Result<usize, DbError> {
            purge(tx, 24, limit).await
        })
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_free_again_after_its_hours() {
    let fixture = Fixture::new().await;
    fixture.send(&request("ann", "k1", "tea")).await.unwrap();
    fixture
        .run("UPDATE idempotency_keys SET created_at = now() - interval '23 hours 59 minutes'")
        .await;
    let told = fixture.send(&request("ann", "k1", "tea")).await.unwrap();
    assert!(matches!(told, Told::Again(_)));
    fixture
        .run("UPDATE idempotency_keys SET created_at = now() - interval '24 hours 1 minute'")
        .await;
    // Another request may use the key now.
    let told = fixture.send(&request("ann", "k1", "coffee")).await.unwrap();
    assert!(matches!(told, Told::First(_)));
    let told = fixture.send(&request("ann", "k1", "coffee")).await.unwrap();
    assert!(matches!(told, Told::Again(_)));
    assert_eq!(fixture.effects().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_key_of_a_refused_request_is_still_there() {
    let fixture = Fixture::new().await;
    fixture.send(&request("ann", "k1", "tea")).await.unwrap();
    fixture
        .run("UPDATE idempotency_keys SET created_at = now() - interval '2 days'")
        .await;
    fixture
        .send_refused(&request("ann", "k1", "tea"))
        .await
        .unwrap_err();
    // All of the refused request is rolled back, also its deletion of the expired key.
    assert_eq!(fixture.number("idempotency_keys").await, 1);
    assert_eq!(purged(&fixture, 10).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_forgets_the_oldest_and_no_more_than_asked() {
    let fixture = Fixture::new().await;
    fixture
        .run(
            "INSERT INTO idempotency_keys
               (caller, key, fingerprint, status, headers, body, created_at)
             SELECT 'ann', n::text, '', 200, '[]', '', now() - (n - 0.5) * interval '1 hour'
             FROM generate_series(1, 1030) n;
             ANALYZE idempotency_keys",
        )
        .await;
    assert_eq!(purged(&fixture, 100).await, 100);
    assert_eq!(
        fixture
            .number("idempotency_keys WHERE key::int > 930")
            .await,
        0
    );
    assert_eq!(purged(&fixture, 10_000).await, 1030 - 100 - 24);
    assert_eq!(purged(&fixture, 10_000).await, 0);
    assert_eq!(
        fixture
            .number("idempotency_keys WHERE key::int <= 24")
            .await,
        24
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_a_forgotten_answer_stays_used_up() {
    let fixture = Fixture::new().await;
    for (caller, key) in [("ann", "k1"), ("ann", "k2"), ("bob", "k1")] {
        fixture.send(&request(caller, key, "tea")).await.unwrap();
    }
    let forgotten = fixture
        .db
        .transaction("test.forget", async |tx| -> Result<usize, DbError> {
            forget(tx, "ann").await
        });
    assert_eq!(forgotten.await.unwrap(), 2);
    for _ in 0..2 {
        let late = fixture
            .send(&request("ann", "k1", "tea"))
            .await
            .unwrap_err();
        let RequestError::Idempotency(late) = late else {
            panic!("{late}");
        };
        assert_eq!(
            (late.class(), late.code()),
            (Class::Gone, "answer_forgotten")
        );
    }
    let other = fixture
        .send(&request("ann", "k1", "coffee"))
        .await
        .unwrap_err();
    assert_eq!(other.key_code(), Some("idempotency_key_reused"));
    // Nothing is left of the answer and its caller; other callers keep theirs.
    let kept = "idempotency_keys WHERE caller = 'ann' OR key = 'k2'
                OR (caller = 'forgotten' AND body || headers::text <> '[]')";
    assert_eq!(fixture.number(kept).await, 0);
    let told = fixture.send(&request("bob", "k1", "tea")).await.unwrap();
    assert!(matches!(told, Told::Again(_)));
    fixture.send(&request("ann", "k3", "tea")).await.unwrap();
    assert_eq!(fixture.effects().await, 4);

    let used = async |caller: &str, key: &str| {
        let used = fixture
            .db
            .transaction("test.is_used", async |tx| -> Result<bool, DbError> {
                is_used(tx, caller, key, 24).await
            });
        used.await.unwrap()
    };
    assert!(used("ann", "k1").await && used("ann", "k3").await && used("bob", "k1").await);
    assert!(!used("ann", "k4").await && !used("bob", "k2").await);
    // After its hours the key is free, as any other.
    fixture
        .run("UPDATE idempotency_keys SET created_at = now() - interval '24 hours 1 minute'")
        .await;
    assert!(!used("ann", "k1").await);
    let told = fixture.send(&request("ann", "k1", "tea")).await.unwrap();
    assert!(matches!(told, Told::First(_)));
}
