use std::time::Duration;

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tovar::client::{Client, wait_for};

use crate::harness::{Catalogue, MustSucceed, Store, WITHIN, wait_for_status};

async fn cancel(caller: &Client, order: &str) -> (StatusCode, Option<String>) {
    let path = format!("/api/orders/{order}/cancellation");
    let answer = caller.post(&path, &json!({})).await.unwrap();
    (answer.status, answer.code().map(ToOwned::to_owned))
}

fn events(order: &Value) -> Vec<&str> {
    let steps = order["timeline"].as_array().unwrap().iter();
    steps.map(|step| step["event"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_cancelled_in_time_is_undone() {
    let mut store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    // Booked, and not paid for yet: billing will hear of the booking and of the verdict.
    store.stop_service("delivery").await;
    let order = catalogue.place(&customer, &catalogue.order(2)).await;
    wait_for_status(&customer, &order, &["reserved"]).await;
    let eve = store.guest.new_customer(0).await.unwrap();
    assert_eq!(
        cancel(&eve, &order).await,
        (StatusCode::NOT_FOUND, Some("unknown_order".to_owned()))
    );
    assert_eq!(cancel(&customer, &order).await.0, StatusCode::ACCEPTED);
    let cancelled = customer.finished(&order, WITHIN).await.unwrap();
    assert_eq!(
        (&cancelled["status"], &cancelled["outcome_reason"]),
        (&json!("cancelled"), &json!("customer"))
    );
    let again = cancel(&customer, &order).await;
    assert_eq!(
        again,
        (StatusCode::CONFLICT, Some("already_closed".to_owned()))
    );
    store.start_service("delivery").await;
    let wanted =
        json!({ "available": 5_000, "held": 0, "stock": 10, "free": 5, "told": ["cancelled"] });
    catalogue
        .expect(&store, &customer, &catalogue.slot, wanted)
        .await;
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_that_is_repeated_asks_once() {
    let mut store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    store.stop_service("warehouse").await;
    let order = catalogue.place(&customer, &catalogue.order(1)).await;
    for _ in 0..3 {
        assert_eq!(cancel(&customer, &order).await.0, StatusCode::ACCEPTED);
    }
    let stopping = wait_for_status(&customer, &order, &["stopping"]).await;
    assert_eq!(
        events(&stopping)
            .iter()
            .filter(|event| **event == "orders.stop_requested")
            .count(),
        1
    );
    // The warehouse may hear either event first; it cannot ship an order that is not booked.
    store.stop_service("delivery").await;
    store.start_service("warehouse").await;
    assert_eq!(
        customer.finished(&order, WITHIN).await.unwrap()["status"],
        "cancelled"
    );
    store.start_service("delivery").await;
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parcel_that_has_left_cannot_be_cancelled() {
    let store = Store::start().await;
    let catalogue = Catalogue::open_with_couriers(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    let order = catalogue.place(&customer, &catalogue.order(1)).await;
    wait_for_status(&customer, &order, &["shipped"]).await;
    let late = cancel(&customer, &order).await;
    assert_eq!(
        late,
        (StatusCode::CONFLICT, Some("already_shipped".to_owned()))
    );
    let stopped = store
        .manager
        .post(&format!("/api/orders/{order}/stop"), &json!({}))
        .await
        .unwrap();
    assert_eq!(stopped.code(), Some("already_shipped"));
    let denied = customer
        .post(&format!("/api/orders/{order}/stop"), &json!({}))
        .await
        .unwrap();
    assert_eq!(denied.code(), Some("role_denied"));
    let outcome = json!({ "outcome": "delivered" });
    store
        .manager
        .ok_post(&format!("/api/deliveries/{order}/outcome"), &outcome)
        .await;
    store.stop().await;
}

/// A cancellation at every moment of an order's life: it comes in time or it does not, and nothing
/// between.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_races_against_each_step() {
    let store = Store::start().await;
    let catalogue = Catalogue::open(&store, 100, 100).await;
    let race = async |number: u64| {
        let customer = store.guest.new_customer(1_000).await.unwrap();
        let order = catalogue.place(&customer, &catalogue.order(1)).await;
        tokio::time::sleep(Duration::from_millis(number * 6)).await;
        let answer = cancel(&customer, &order).await;
        let end = customer.finished(&order, WITHIN).await.unwrap();
        let account = async || customer.ok_get("/api/account").await;
        wait_for("the money to be where it belongs", WITHIN, async || {
            let account = account().await;
            let left = if end["status"] == "delivered" {
                0
            } else {
                1_000
            };
            Ok(account["available"] == left && account["held"] == 0)
        })
        .await
        .unwrap();
        match end["status"].as_str().unwrap() {
            "cancelled" => assert_eq!(answer.0, StatusCode::ACCEPTED),
            "delivered" if answer.0 == StatusCode::ACCEPTED => {
                // The warehouse's answer may come after the end.
                wait_for("the stop to be refused", WITHIN, async || {
                    let order = customer
                        .get(&format!("/api/orders/{order}"))
                        .await?
                        .success()?;
                    Ok(events(&order).contains(&"warehouse.release_refused"))
                })
                .await
                .unwrap();
            }
            "delivered" => assert_eq!(answer.1.as_deref(), Some("already_shipped")),
            other => panic!("{other}"),
        }
        end["status"] == "cancelled"
    };
    let cancelled = join_all((0..40).map(race))
        .await
        .into_iter()
        .filter(|cancelled| *cancelled)
        .count();
    assert!(cancelled > 0, "none came in time: the race was none");
    let left = i64::try_from(60 + cancelled).unwrap();
    wait_for("stock and slot", WITHIN, async || {
        let goods = store.guest.get("/api/goods/tea").await?.success()?;
        let slots = store
            .guest
            .get("/api/zones/lockers/slots")
            .await?
            .success()?;
        Ok(goods["available"] == left && slots["items"][0]["free"] == left)
    })
    .await
    .unwrap();
    store.stop().await;
}
