use reqwest::StatusCode;
use serde_json::json;
use tovar::client::wait_for;
use uuid::Uuid;

use crate::harness::{Catalogue, MustSucceed, Store, WITHIN};

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_pays_what_they_expect_or_nothing() {
    let store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 10).await;
    let customer = store.guest.new_customer(10_000).await.unwrap();
    let order = |expected: i64| {
        let mut body = catalogue.order(2);
        body["expected_total"] = json!(expected);
        body
    };
    let placed = customer.ok_post("/api/orders", &order(2_000)).await;
    assert_eq!(placed["total"], 2_000);
    let goods = json!({ "name": "Tea", "price": 1_500 });
    store.manager.ok_put("/api/goods/tea", &goods).await;
    let orders = store.sql("orders").await;
    wait_for("orders to know the new price", WITHIN, async || {
        let row = orders
            .query_one("SELECT price FROM goods WHERE sku = 'tea'", &[])
            .await?;
        Ok(row.get::<_, i64>(0) == 1_500)
    })
    .await
    .unwrap();
    let key = Uuid::new_v4().to_string();
    let send = async |expected| {
        let body = order(expected);
        let answer = customer.send(
            reqwest::Method::POST,
            "/api/orders",
            Some(&body),
            Some(&key),
        );
        answer.await.unwrap()
    };
    for expected in [0, -1, i64::MAX] {
        let refused = send(expected).await;
        assert_eq!(
            (refused.status, refused.code()),
            (
                StatusCode::UNPROCESSABLE_ENTITY,
                Some("invalid_expected_total")
            )
        );
    }
    for expected in [2_000, 3_001] {
        let refused = send(expected).await;
        assert_eq!(
            (refused.status, refused.code()),
            (StatusCode::CONFLICT, Some("price_changed"))
        );
        assert_eq!(refused.body["total"], 3_000, "{:?}", refused.body);
    }
    // The refusal has left the key free.
    let placed = send(3_000).await.success().unwrap();
    assert_eq!(placed["total"], 3_000);
    // A customer who names no total pays what the order costs.
    let placed = customer.ok_post("/api/orders", &catalogue.order(1)).await;
    assert_eq!(placed["total"], 1_500);
    let all = customer.ok_get("/api/orders").await;
    assert_eq!(all["items"].as_array().unwrap().len(), 3);
    store.stop().await;
}
