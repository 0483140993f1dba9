//! The answer to a COMMIT is lost: what was stored is not denied, and what is asked for again is no
//! conflict.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tovar::client::Answer;
use uuid::Uuid;

use crate::harness::{Catalogue, Lossy, MustSucceed, Store};

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_answer_was_lost_is_not_denied() {
    let servers = backing::shared().await.unwrap();
    let lossy = Lossy::start(servers.postgres.port()).await;
    let store = Store::start_through(&lossy).await;
    let catalogue = Catalogue::open(&store, 10, 10).await;
    let path = format!("/api/goods/{}", catalogue.sku);
    let put = async |name: &str, header: (&str, &str)| -> Answer {
        let headers = [header];
        let body = json!({ "name": name, "price": 1_000 });
        let answer = store
            .manager
            .send_with(Method::PUT, &path, Some(&body), &headers);
        answer.await.unwrap()
    };
    let etag = async || {
        let goods = store.guest.get(&path).await.unwrap();
        goods.headers["etag"].to_str().unwrap().to_owned()
    };

    // With If-Match: the service's own next attempt finds the change made.
    let seen = etag().await;
    lossy.lose("Lost once", 1);
    let changed = put("Lost once", ("if-match", &seen)).await;
    assert_eq!(lossy.left(), 0, "an answer was lost");
    assert_eq!(changed.status, StatusCode::OK, "{:?}", changed.body);
    assert_eq!(
        (&changed.body["name"], etag().await),
        (
            &json!("Lost once"),
            changed.headers["etag"].to_str().unwrap().to_owned()
        )
    );
    // As does the caller's.
    let again = put("Lost once", ("if-match", &seen)).await;
    assert_eq!(again.status, StatusCode::OK, "{:?}", again.body);

    // With If-None-Match another attempt would only find the row that the first one made.
    let new = async || -> Answer {
        let body = json!({ "name": "Lost new", "price": 1 });
        let header = [("if-none-match", "*")];
        let answer = store
            .manager
            .send_with(Method::PUT, "/api/goods/new", Some(&body), &header);
        answer.await.unwrap()
    };
    lossy.lose("Lost new", 1);
    let unknown = new().await;
    assert_eq!(lossy.left(), 0, "an answer was lost");
    assert_eq!(
        (unknown.status, unknown.code()),
        (StatusCode::SERVICE_UNAVAILABLE, Some("outcome_unknown"))
    );
    assert_eq!(new().await.status, StatusCode::PRECONDITION_FAILED);

    // With a key: after the last attempt the answer does not say that nothing was stored.
    let key = Uuid::new_v4().to_string();
    let receipt = json!({ "quantity": 7 });
    let receive = async || -> Answer {
        let path = format!("{path}/receipts");
        let answer = store
            .manager
            .send(Method::POST, &path, Some(&receipt), Some(&key));
        answer.await.unwrap()
    };
    let available = async || -> Value {
        let goods = store.guest.ok_get(&path).await;
        goods["available"].clone()
    };
    lossy.lose_and_go_away(&key);
    let unknown = receive().await;
    assert_eq!(
        (unknown.status, unknown.code()),
        (StatusCode::SERVICE_UNAVAILABLE, Some("outcome_unknown")),
        "{:?}",
        unknown.body
    );
    let detail = unknown.body["detail"].as_str().unwrap();
    assert!(detail.contains("may have been stored"), "{detail}");
    assert!(unknown.headers.contains_key("retry-after"));
    lossy.come_back();
    let answer = loop {
        let answer = receive().await;
        if answer.status != StatusCode::SERVICE_UNAVAILABLE {
            break answer;
        }
    };
    assert_eq!(answer.status, StatusCode::CREATED);
    assert!(
        answer.headers.contains_key("idempotency-replayed"),
        "it was stored the first time"
    );
    assert_eq!(available().await, 17);
    store.stop().await;
}
