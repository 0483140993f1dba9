use reqwest::StatusCode;
use serde_json::json;

use crate::harness::{Catalogue, MustSucceed, Store};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_yours_is_not_there_and_what_is_the_managers_is_denied() {
    let store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let ada = store.guest.new_customer(5_000).await.unwrap();
    let eve = store.guest.new_customer(5_000).await.unwrap();
    let order = catalogue.buy(&ada, &catalogue.order(1)).await;
    let path = format!("/api/orders/{}", order["id"].as_str().unwrap());

    let foreign = eve.get(&path).await.unwrap();
    assert_eq!(
        (foreign.status, foreign.code()),
        (StatusCode::NOT_FOUND, Some("unknown_order"))
    );
    let anonymous = store.guest.get(&path).await.unwrap();
    assert_eq!(
        (anonymous.status, anonymous.code()),
        (StatusCode::UNAUTHORIZED, Some("token_missing"))
    );
    assert_eq!(anonymous.headers["www-authenticate"], "Bearer");

    let goods = json!({ "name": "Mine", "price": 1 });
    let denied = eve.put("/api/goods/tea", &goods).await.unwrap();
    assert_eq!(
        (denied.status, denied.code()),
        (StatusCode::FORBIDDEN, Some("role_denied"))
    );
    let me = eve.ok_get("/api/users/me").await;
    let path = format!("/api/users/{}/role", me["id"].as_str().unwrap());
    let promoted = eve.put(&path, &json!({ "role": "manager" })).await.unwrap();
    assert_eq!(promoted.status, StatusCode::FORBIDDEN);
    let promoted = store
        .manager
        .ok_put(&path, &json!({ "role": "courier" }))
        .await;
    assert_eq!(promoted["role"], "courier");
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_with_a_reason_and_nothing_is_stored() {
    let store = Store::start().await;
    let customer = store.guest.new_customer(0).await.unwrap();
    let cases = [
        (json!({ "amount": 0 }), "invalid_amount"),
        (json!({ "amount": -5 }), "invalid_amount"),
        (json!({ "amount": 100_000_000_001_i64 }), "invalid_amount"),
        (json!({ "amount": 1.5 }), "invalid_body"),
        (json!({ "amount": "5" }), "invalid_body"),
        (json!({}), "invalid_body"),
        (json!({ "amount": 5, "currency": "EUR" }), "invalid_body"),
    ];
    for (body, code) in cases {
        let answer = customer.post("/api/account/top-ups", &body).await.unwrap();
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::UNPROCESSABLE_ENTITY, Some(code)),
            "{body}"
        );
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    }
    let users = [
        (
            json!({ "email": "no-address", "password": "long enough", "name": "A" }),
            "invalid_email",
        ),
        (
            json!({ "email": "a@b", "password": "short", "name": "A" }),
            "invalid_password",
        ),
        (
            json!({ "email": "a@b", "password": "long enough", "name": " " }),
            "invalid_name",
        ),
        (
            json!({ "email": "a@b", "password": "long enough", "name": "A\u{0}" }),
            "invalid_body",
        ),
    ];
    for (body, code) in users {
        let answer = store.guest.post("/api/users", &body).await.unwrap();
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::UNPROCESSABLE_ENTITY, Some(code)),
            "{body}"
        );
    }
    let account = customer.ok_get("/api/account").await;
    assert_eq!(account["available"], 0);
    store.stop().await;
}
