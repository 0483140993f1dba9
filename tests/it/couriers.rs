use reqwest::StatusCode;
use serde_json::json;
use tovar::client::Client;

use crate::harness::{Shop, Store};

async fn report(courier: &Client, order: &str, outcome: &str) -> (StatusCode, Option<String>) {
    let path = format!("/api/deliveries/{order}/outcome");
    let answer = courier.post(&path, &json!({ "outcome": outcome })).await.unwrap();
    (answer.status, answer.code().map(ToOwned::to_owned))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_courier_hands_a_parcel_over_once() {
    let store = Store::start().await;
    let shop = Shop::open_with_couriers(&store, 10, 5).await;
    let courier = store.somebody("courier").await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    let order = shop.place(&customer, &shop.order(2)).await;
    Shop::until(&customer, &order, &["shipped"]).await;
    let run = tovar::client::wait_for("the parcel on the run", crate::harness::WITHIN, async || {
        let run = courier.get("/api/deliveries").await?.success()?;
        let parcels = run["items"].as_array().into_iter().flatten();
        Ok(parcels
            .into_iter()
            .any(|parcel| parcel["order_id"] == *order && parcel["zone"] == "couriers"))
    });
    run.await.unwrap();
    assert_eq!(
        report(&customer, &order, "delivered").await.0,
        StatusCode::FORBIDDEN
    );
    assert_eq!(report(&courier, &order, "delivered").await.0, StatusCode::CREATED);
    let again = report(&courier, &order, "recipient_absent").await;
    assert_eq!(
        again,
        (StatusCode::CONFLICT, Some("not_out_for_delivery".to_owned()))
    );
    let delivered = customer.finished(&order, crate::harness::WITHIN).await.unwrap();
    assert_eq!(delivered["status"], "delivered");
    let wanted = json!({ "available": 3_000, "held": 0, "stock": 8, "free": 4, "told": ["delivered"] });
    shop.expect(&store, &customer, &shop.slot, wanted).await;
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_and_money_come_back_if_the_recipient_is_absent() {
    let store = Store::start().await;
    let shop = Shop::open_with_couriers(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    let order = shop.place(&customer, &shop.order(2)).await;
    let unknown = report(&store.manager, &uuid::Uuid::nil().to_string(), "delivered").await;
    assert_eq!(unknown.0, StatusCode::NOT_FOUND);
    Shop::until(&customer, &order, &["shipped"]).await;
    let reported = tovar::client::wait_for("the parcel to be out", crate::harness::WITHIN, async || {
        Ok(report(&store.manager, &order, "recipient_absent").await.0 == StatusCode::CREATED)
    });
    reported.await.unwrap();
    let refunded = customer.finished(&order, crate::harness::WITHIN).await.unwrap();
    assert_eq!(
        (&refunded["status"], &refunded["outcome_reason"]),
        (&json!("refunded"), &json!("recipient_absent"))
    );
    let wanted = json!({ "available": 5_000, "held": 0, "stock": 10, "free": 5, "told": ["refunded"] });
    shop.expect(&store, &customer, &shop.slot, wanted).await;
    let entries = customer
        .get("/api/account/entries")
        .await
        .unwrap()
        .success()
        .unwrap();
    let kinds: Vec<_> = entries["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["kind"].clone())
        .collect();
    assert_eq!(kinds, ["refund", "capture", "hold", "top_up"]);
    store.stop().await;
}
