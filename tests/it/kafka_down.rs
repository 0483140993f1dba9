use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::{Catalogue, MustSucceed, Store};

#[tokio::test(flavor = "multi_thread")]
async fn orders_placed_while_kafka_is_down_for_twenty_seconds_go_through_when_it_is_back() {
    let servers = backing::shared().await.unwrap();
    let mut kafka = backing::own_kafka().await.unwrap();
    let store = Store::start_on(&servers.postgres, &kafka).await;
    let catalogue = Catalogue::open(&store, 100, 100).await;
    let customers =
        join_all((0..5).map(async |_| store.guest.new_customer(10_000).await.unwrap())).await;

    kafka.kill().await.unwrap();
    let down_until = tokio::time::Instant::now() + Duration::from_secs(20);
    let mut placed = Vec::new();
    for customer in customers.iter().cycle().take(15) {
        // Accepted without Kafka: the order and its event are one transaction in the database.
        let order = customer.ok_post("/api/orders", &catalogue.order(1)).await;
        assert_eq!(order["status"], "placed");
        placed.push((customer, order["id"].as_str().unwrap().to_owned()));
    }
    tokio::time::sleep_until(down_until).await;
    kafka.start_again().await.unwrap();

    for (customer, order) in placed {
        let order = customer
            .finished(&order, Duration::from_secs(120))
            .await
            .unwrap();
        assert_eq!(order["status"], "delivered");
    }
    let wanted = json!({
        "available": 7_000, "held": 0, "stock": 85, "free": 85,
        "told": ["delivered", "delivered", "delivered"],
    });
    catalogue
        .expect(&store, &customers[0], &catalogue.slot, wanted)
        .await;
    store.stop().await;
}
