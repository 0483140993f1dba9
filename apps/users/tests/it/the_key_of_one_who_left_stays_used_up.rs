use reqwest::{Method, StatusCode};

use crate::fixture::{Fixture, PASSWORD};

#[tokio::test(flavor = "multi_thread")]
async fn a_late_retry_does_not_register_again() {
    let users = Fixture::new().await;
    let first = users.register_with("ada@example.org", PASSWORD, "k1").await;
    assert_eq!(first.status, StatusCode::CREATED);
    let token = users.token("ada@example.org", PASSWORD).await;
    let left = users
        .send_as(&token, Method::DELETE, "/api/users/me", None)
        .await;
    assert_eq!(left.status, StatusCode::NO_CONTENT);
    for _ in 0..2 {
        let late = users.register_with("ada@example.org", PASSWORD, "k1").await;
        assert_eq!(
            (late.status, late.code()),
            (StatusCode::GONE, "answer_forgotten"),
            "{:?}",
            late.body
        );
    }
    let sql = users.sql().await;
    let told = sql
        .query(
            "SELECT FROM idempotency_keys k WHERE k::text LIKE '%ada@%' OR k::text LIKE '%k1%'",
            &[],
        )
        .await;
    assert_eq!(told.unwrap().len(), 0, "what is kept says nothing of them");
    assert_eq!(
        users.log_in("ada@example.org", PASSWORD).await.code(),
        "wrong_credentials"
    );

    // A new intent takes a new key.
    let again = users.register_with("ada@example.org", PASSWORD, "k2").await;
    assert_eq!(again.status, StatusCode::CREATED);
    let replayed = users.register_with("ada@example.org", PASSWORD, "k2").await;
    assert_eq!(replayed.body["id"], again.body["id"]);
    users.stop().await;
}
