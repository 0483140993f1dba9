use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::{Catalogue, MustSucceed, Store};

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_twice_is_one_order_with_one_answer() {
    let store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    let body = catalogue.order(1);
    let send = async |key: &str| {
        customer
            .send(Method::POST, "/api/orders", Some(&body), Some(key))
            .await
            .unwrap()
    };
    let first = send("an-intent").await;
    assert_eq!(first.status, StatusCode::CREATED);
    assert!(!first.headers.contains_key("idempotency-replayed"));
    // The same key as a structured-field string.
    let again = send("\"an-intent\"").await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(again.headers["location"], first.headers["location"]);
    let other = catalogue.order(2);
    let reused = customer
        .send(Method::POST, "/api/orders", Some(&other), Some("an-intent"))
        .await
        .unwrap();
    assert_eq!(
        (reused.status, reused.code()),
        (
            StatusCode::UNPROCESSABLE_ENTITY,
            Some("idempotency_key_reused")
        )
    );
    let missing = customer
        .send(Method::POST, "/api/orders", Some(&body), None)
        .await
        .unwrap();
    assert_eq!(
        (missing.status, missing.code()),
        (StatusCode::BAD_REQUEST, Some("idempotency_key_missing"))
    );
    customer
        .finished(first.body["id"].as_str().unwrap(), crate::harness::WITHIN)
        .await
        .unwrap();
    let orders = customer.ok_get("/api/orders").await;
    assert_eq!(orders["items"].as_array().unwrap().len(), 1);
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_requests_with_one_key_at_once_are_one_order() {
    let store = Store::start().await;
    let catalogue = Catalogue::open(&store, 200, 200).await;
    let customer = store.guest.new_customer(500_000).await.unwrap();
    let body = catalogue.order(1);
    let until_answered = async |_: i32| loop {
        let answer = customer
            .send(Method::POST, "/api/orders", Some(&body), Some("one-intent"))
            .await
            .unwrap();
        match (answer.status, answer.code()) {
            (StatusCode::CREATED, _) => return answer.body["id"].as_str().unwrap().to_owned(),
            (StatusCode::CONFLICT, Some("idempotency_key_in_progress")) => {
                tokio::time::sleep(answer.retry_after().unwrap()).await;
            }
            other => panic!("{other:?}"),
        }
    };
    let ids = join_all((0..100).map(until_answered)).await;
    assert!(
        ids.iter().all(|id| *id == ids[0]),
        "one order, told to all: {ids:?}"
    );
    customer
        .finished(&ids[0], crate::harness::WITHIN)
        .await
        .unwrap();
    let wanted = json!({
        "available": 499_000, "held": 0, "stock": 199, "free": 199,
        "told": ["delivered"],
    });
    catalogue
        .expect(&store, &customer, &catalogue.slot, wanted)
        .await;
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_leaves_the_key_free() {
    let store = Store::start().await;
    let customer = store.guest.new_customer(0).await.unwrap();
    let amount = json!({ "amount": 700 });
    let send = async || {
        customer
            .send(
                Method::POST,
                "/api/account/withdrawals",
                Some(&amount),
                Some("w"),
            )
            .await
            .unwrap()
    };
    let refused = send().await;
    assert_eq!(
        (refused.status, refused.code()),
        (StatusCode::CONFLICT, Some("insufficient_funds"))
    );
    customer
        .ok_post("/api/account/top-ups", &json!({ "amount": 1_000 }))
        .await;
    let done = send().await.success().unwrap();
    assert_eq!(done["available"], 300);
    store.stop().await;
}
