//! A service is away for longer than an order may wait for it.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tovar::client::{Client, wait_for};

use crate::harness::{Catalogue, MustSucceed, Store, WITHIN, wait_for_status};

const SOON: (&str, &[&str]) = (
    "orders",
    &[
        "--deadline-before-shipment=1",
        "--deadline-closing=1",
        "--deadline-returning=1",
        "--deadline-courier=1",
        "--sweep-every=20",
    ],
);

/// Waits until the order needs attention for this reason.
async fn until_attention(manager: &Client, order: &str, reason: Option<&str>) {
    wait_for(
        &format!("the order to need attention: {reason:?}"),
        WITHIN,
        async || {
            let listed = manager
                .get("/api/orders?needs_attention=true")
                .await?
                .success()?;
            let mut listed = listed["items"].as_array().into_iter().flatten();
            let found = listed.find(|found| found["id"] == *order);
            Ok(found.and_then(|found| found["needs_attention"].as_str()) == reason)
        },
    )
    .await
    .unwrap();
}

async fn ends(customer: &Client, order: &str) -> (Value, Value) {
    let order = customer.finished(order, WITHIN).await.unwrap();
    (order["status"].clone(), order["outcome_reason"].clone())
}

fn late() -> (Value, Value) {
    (json!("cancelled"), json!("deadline"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_delivery_does_not_book_in_time_is_cancelled() {
    let mut store = Store::start_with(&[SOON]).await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    store.stop_service("delivery").await;
    let order = catalogue.place(&customer, &catalogue.order(1)).await;
    assert_eq!(ends(&customer, &order).await, late());
    store.start_service("delivery").await;
    let wanted =
        json!({ "available": 5_000, "held": 0, "stock": 10, "free": 5, "told": ["cancelled"] });
    catalogue
        .expect(&store, &customer, &catalogue.slot, wanted)
        .await;
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_the_warehouse_does_not_answer_needs_attention_until_it_does() {
    let mut store = Store::start_with(&[SOON]).await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    store.stop_service("warehouse").await;
    let order = catalogue.place(&customer, &catalogue.order(1)).await;
    until_attention(&store.manager, &order, Some("stop_overdue")).await;
    wait_for("the gauge to be read again", WITHIN, async || {
        let metrics = reqwest::get(format!("{}/metrics", store.ops["orders"])).await?;
        Ok(metrics.text().await?.contains("reason=\"stop_overdue\"} 1"))
    })
    .await
    .unwrap();
    let shown = tovar::order::view(&store.file(), order.parse().unwrap())
        .await
        .unwrap();
    assert_eq!(
        shown.order.unwrap().needs_attention.as_deref(),
        Some("stop_overdue")
    );
    let denied = customer
        .get("/api/orders?needs_attention=true")
        .await
        .unwrap();
    assert_eq!(denied.status, StatusCode::FORBIDDEN);
    // The warehouse may hear either event first; it cannot ship an order that is not booked.
    store.stop_service("delivery").await;
    store.start_service("warehouse").await;
    assert_eq!(ends(&customer, &order).await, late());
    store.start_service("delivery").await;
    until_attention(&store.manager, &order, None).await;
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_money_is_not_settled_needs_attention_until_it_is() {
    let mut store = Store::start_with(&[SOON]).await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    store.stop_service("billing").await;
    let order = catalogue.place(&customer, &catalogue.order(1)).await;
    until_attention(&store.manager, &order, Some("settlement_overdue")).await;
    let closing = customer.ok_get(&format!("/api/orders/{order}")).await;
    assert_eq!(closing["status"], "closing");
    store.start_service("billing").await;
    assert_eq!(ends(&customer, &order).await, late());
    let wanted =
        json!({ "available": 5_000, "held": 0, "stock": 10, "free": 5, "told": ["cancelled"] });
    catalogue
        .expect(&store, &customer, &catalogue.slot, wanted)
        .await;
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_courier_who_does_not_report_needs_attention_until_somebody_does() {
    let mut store = Store::start_with(&[SOON]).await;
    let catalogue = Catalogue::open_with_couriers(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    let now = kernel::Clock::system().now();
    let slot =
        json!({ "starts_at": now, "ends_at": now + chrono::TimeDelta::seconds(5), "capacity": 1 });
    let slot = store
        .manager
        .ok_post("/api/zones/couriers/slots", &slot)
        .await;
    let body = catalogue.order_to(1, catalogue.zone, slot["id"].as_str().unwrap());
    let order = catalogue.place(&customer, &body).await;
    wait_for_status(&customer, &order, &["shipped"]).await;
    until_attention(&store.manager, &order, Some("delivery_overdue")).await;
    // The goods do not come back while the warehouse is away.
    store.stop_service("warehouse").await;
    let outcome = json!({ "outcome": "recipient_absent" });
    store
        .manager
        .ok_post(&format!("/api/deliveries/{order}/outcome"), &outcome)
        .await;
    until_attention(&store.manager, &order, Some("return_overdue")).await;
    store.start_service("warehouse").await;
    assert_eq!(
        ends(&customer, &order).await,
        (json!("refunded"), json!("recipient_absent"))
    );
    store.stop().await;
}

/// Makes the order late, so that the sweeper finds it at once and the test need not wait for two
/// minutes.
async fn time_passes(store: &Store, order: &str) {
    let sql = "UPDATE orders SET deadline = now() - interval '1 second' WHERE id = $1::text::uuid";
    let passed = store
        .sql("orders")
        .await
        .execute(sql, &[&order])
        .await
        .unwrap();
    assert_eq!(passed, 1);
}

/// Places an order that stays in this status, because `away` is away. Delivery is away too, unless
/// it has booked.
async fn rest(
    store: &mut Store,
    catalogue: &Catalogue,
    customer: &Client,
    status: &str,
    away: &'static str,
) -> String {
    store.stop_service("delivery").await;
    let is_booked = ["booked", "paid"].contains(&status);
    if !is_booked && away != "delivery" {
        store.stop_service(away).await;
    }
    let order = catalogue.place(customer, &catalogue.order(1)).await;
    if is_booked {
        wait_for_status(customer, &order, &["reserved"]).await;
        store.stop_service(away).await;
        store.start_service("delivery").await;
    }
    wait_for_status(customer, &order, &[status]).await;
    order
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_rests_anywhere_before_its_shipment_is_stopped() {
    let mut store = Store::start_with(&[("orders", &["--sweep-every=20"])]).await;
    let catalogue = Catalogue::open(&store, 10, 10).await;
    for (status, away) in [
        ("placed", "billing"),
        ("held", "warehouse"),
        ("reserved", "delivery"),
        ("booked", "billing"),
        ("paid", "warehouse"),
    ] {
        let customer = store.guest.new_customer(5_000).await.unwrap();
        let order = rest(&mut store, &catalogue, &customer, status, away).await;
        time_passes(&store, &order).await;
        let stopped =
            wait_for_status(&customer, &order, &["stopping", "closing", "cancelled"]).await;
        let mut steps = stopped["timeline"].as_array().unwrap().iter();
        assert!(
            steps.any(|step| step["text"] == "a stop is requested: deadline"),
            "{stopped:#}"
        );
        if away != "delivery" {
            store.start_service(away).await;
        }
        let (end, reason) = ends(&customer, &order).await;
        // A paid order may be shipped before the warehouse hears of the stop.
        if status == "paid" && end == "delivered" {
            let wanted = json!({
                "available": 4_000, "held": 0, "stock": 9, "free": 9,
                "told": ["delivered"],
            });
            catalogue
                .expect(&store, &customer, &catalogue.slot, wanted)
                .await;
            continue;
        }
        assert_eq!((end, reason), late(), "{status}");
        if !["booked", "paid"].contains(&status) {
            store.start_service("delivery").await;
        }
        let wanted = json!({
            "available": 5_000, "held": 0, "stock": 10, "free": 10,
            "told": ["cancelled"],
        });
        catalogue
            .expect(&store, &customer, &catalogue.slot, wanted)
            .await;
    }
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parcel_that_no_locker_takes_needs_attention_until_one_does() {
    let mut store = Store::start_with(&[("orders", &["--sweep-every=20"])]).await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    let order = rest(&mut store, &catalogue, &customer, "paid", "warehouse").await;
    store.stop_service("delivery").await;
    store.start_service("warehouse").await;
    wait_for_status(&customer, &order, &["shipped"]).await;
    time_passes(&store, &order).await;
    until_attention(&store.manager, &order, Some("delivery_overdue")).await;
    store.start_service("delivery").await;
    assert_eq!(ends(&customer, &order).await.0, "delivered");
    until_attention(&store.manager, &order, None).await;
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_stops_an_order() {
    let mut store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    store.stop_service("delivery").await;
    let order = catalogue.place(&customer, &catalogue.order(1)).await;
    let stopped = store
        .manager
        .post(&format!("/api/orders/{order}/stop"), &json!({}))
        .await
        .unwrap();
    assert_eq!(stopped.status, StatusCode::ACCEPTED);
    assert_eq!(
        ends(&customer, &order).await,
        (json!("cancelled"), json!("operator"))
    );
    store.start_service("delivery").await;
    store.stop().await;
}
