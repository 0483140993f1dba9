use reqwest::StatusCode;
use serde_json::json;
use tovar::client::wait_for;
use uuid::Uuid;

use crate::harness::{Shop, Store, WITHIN};

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_pays_what_they_expect_or_nothing() {
    let store = Store::start().await;
    let shop = Shop::open(&store, 10, 10).await;
    let customer = store.guest.new_customer(10_000).await.unwrap();
    let order = |expected: i64| {
        let mut body = shop.order(2);
        body["expected_total"] = json!(expected);
        body
    };
    let placed = customer.post("/api/orders", &order(2_000)).await.unwrap();
    assert_eq!(placed.success().unwrap()["total"], 2_000);
    let goods = json!({ "name": "Tea", "price": 1_500 });
    store
        .manager
        .put("/api/goods/tea", &goods)
        .await
        .unwrap()
        .success()
        .unwrap();
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
    // Who says nothing pays what it costs.
    let placed = customer.post("/api/orders", &shop.order(1)).await.unwrap();
    assert_eq!(placed.success().unwrap()["total"], 1_500);
    let all = customer
        .get("/api/orders")
        .await
        .unwrap()
        .success()
        .unwrap();
    assert_eq!(all["items"].as_array().unwrap().len(), 3);
    store.stop().await;
}
