use db::DbError;

use crate::fixture::{Fixture, RequestError, Told, request};

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_changes_nothing_and_leaves_the_key_free() {
    let fixture = Fixture::new().await;
    for _ in 0..2 {
        let refused = fixture.send_refused(&request("ann", "k1", "tea")).await;
        assert!(matches!(refused, Err(RequestError::Refused)));
        assert_eq!(fixture.effects().await, 0);
        assert_eq!(fixture.number("idempotency_keys").await, 0);
    }
    // Another request may use the key: the refused one left nothing behind.
    let told = fixture.send(&request("ann", "k1", "coffee")).await.unwrap();
    assert!(matches!(told, Told::First(_)));
    assert_eq!(fixture.effects().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_stored_takes_the_effect_with_it() {
    let fixture = Fixture::new().await;
    fixture
        .run("ALTER TABLE idempotency_keys ADD CONSTRAINT full_disk CHECK (status <> 201)")
        .await;
    let failed = fixture
        .send(&request("ann", "k1", "tea"))
        .await
        .unwrap_err();
    assert!(failed.to_string().contains("did not carry out"), "{failed}");
    assert_eq!(fixture.effects().await, 0);
    fixture
        .run("ALTER TABLE idempotency_keys DROP CONSTRAINT full_disk")
        .await;
    let told = fixture.send(&request("ann", "k1", "tea")).await.unwrap();
    assert!(matches!(told, Told::First(_)));
    assert_eq!(fixture.effects().await, 1);
}

/// A body can hold a password.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_said_is_not_kept() -> Result<(), DbError> {
    let fixture = Fixture::new().await;
    fixture
        .send(&request("ann", "k1", "correct horse battery staple"))
        .await
        .unwrap();
    let kept = "idempotency_keys k WHERE k::text LIKE '%battery%'
                OR encode(fingerprint, 'escape') LIKE '%battery%' OR length(fingerprint) <> 32";
    assert_eq!(fixture.number(kept).await, 0);
    assert_eq!(fixture.number("idempotency_keys").await, 1);
    Ok(())
}
