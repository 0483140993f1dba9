//! The clocks of replicas differ. What one stores, another judges: all by the database's clock.

use std::time::Duration;

use chrono::TimeDelta;
use kernel::Clock;

use crate::harness::{Catalogue, MustSucceed, Store, WITHIN, wait_for_status};

/// A clock that is off by so much.
fn off(by: TimeDelta) -> Clock {
    let right = Clock::system();
    Clock::from_fn(move || right.now() + by)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_clock_is_wrong_stops_no_healthy_order() {
    let mut store = Store::start_with(&[("orders", &["--sweep-every=20"])]).await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    store.stop_service("delivery").await;
    let mut orders = Vec::new();
    for clock in [
        Clock::system(),
        off(TimeDelta::hours(1)),
        off(TimeDelta::hours(-1)),
        Clock::system(),
    ] {
        store.stop_service("orders").await;
        store.start_service_by("orders", clock).await;
        // The sweeper looks many times at each row that another replica has stored.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let order = catalogue.place(&customer, &catalogue.order(1)).await;
        wait_for_status(&customer, &order, &["reserved"]).await;
        orders.push(order);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    store.start_service("delivery").await;
    for order in orders {
        let order = customer.finished(&order, WITHIN).await.unwrap();
        assert_eq!(order["status"], "delivered", "{order:#}");
    }
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_is_past_when_the_database_says_so() {
    let mut store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    let now = Clock::system().now();
    let (starts_at, ends_at) = (now + TimeDelta::minutes(10), now + TimeDelta::minutes(30));
    let path = format!("/api/zones/{}/slots", catalogue.zone);
    let body = serde_json::json!({ "starts_at": starts_at, "ends_at": ends_at, "capacity": 1 });
    store.stop_service("delivery").await;
    store
        .start_service_by("delivery", off(TimeDelta::hours(1)))
        .await;
    let slot = store.manager.ok_post(&path, &body).await;
    let listed = store.guest.ok_get(&path).await;
    let mut listed = listed["items"].as_array().unwrap().iter();
    assert!(
        listed.any(|listed| listed["id"] == slot["id"]),
        "it has not ended"
    );
    let order = catalogue.order_to(1, catalogue.zone, slot["id"].as_str().unwrap());
    assert_eq!(
        catalogue.buy(&customer, &order).await["status"],
        "delivered"
    );
    store.stop().await;
}
