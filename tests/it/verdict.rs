//! A verdict that billing never got, because it was away for longer than the topic keeps events.

use std::time::Duration;

use outbox::log::{BUCKETS, empty_bucket};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};
use reqwest::StatusCode;
use serde_json::json;
use tovar::client::wait_for;

use crate::harness::{Catalogue, MustSucceed, PARTITIONS, Store, WITHIN, wait_for_status};

/// The topic and the outbox of orders, as when their retention is over.
async fn forget_events_of_orders(store: &Store) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", store.brokers())
        .create()
        .unwrap();
    let mut all = TopicPartitionList::new();
    let topic = format!("{}orders", store.prefix);
    for partition in 0..PARTITIONS {
        all.add_partition_offset(&topic, partition, Offset::End)
            .unwrap();
    }
    admin
        .delete_records(&all, &AdminOptions::new())
        .await
        .unwrap();
    let orders = store.sql("orders").await;
    wait_for("the outbox to be emptied", WITHIN, async || {
        for bucket in 0..BUCKETS {
            empty_bucket(&orders, bucket, Duration::ZERO).await?;
        }
        let left: i64 = orders
            .query_one("SELECT count(*) FROM outbox", &[])
            .await?
            .get(0);
        Ok(left == 0)
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_brings_home_the_money_of_an_order_whose_verdict_was_lost() {
    let mut store = Store::start().await;
    let catalogue = Catalogue::open_with_couriers(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    let order = catalogue.place(&customer, &catalogue.order(1)).await;
    let verdict = format!("/api/orders/{order}/verdict");
    wait_for_status(&customer, &order, &["shipped"]).await;
    let early = store.manager.post(&verdict, &json!({})).await.unwrap();
    assert_eq!(
        (early.status, early.code()),
        (StatusCode::CONFLICT, Some("no_verdict"))
    );

    let delivery = store.sql("delivery").await;
    wait_for("the parcel to be out", WITHIN, async || {
        let row = delivery
            .query_one(
                "SELECT state FROM bookings WHERE order_id = $1::text::uuid",
                &[&order],
            )
            .await?;
        Ok(row.get::<_, String>(0) == "out_for_delivery")
    })
    .await
    .unwrap();
    store.stop_service("billing").await;
    let outcome = json!({ "outcome": "recipient_absent" });
    let path = format!("/api/deliveries/{order}/outcome");
    store.manager.ok_post(&path, &outcome).await;
    wait_for_status(&customer, &order, &["closing"]).await;
    wait_for("the verdict to be on the topic", WITHIN, async || {
        let row = delivery
            .query_one(
                "SELECT state FROM bookings WHERE order_id = $1::text::uuid",
                &[&order],
            )
            .await?;
        Ok(row.get::<_, String>(0) == "freed")
    })
    .await
    .unwrap();
    forget_events_of_orders(&store).await;
    store.start_service("billing").await;
    // Billing is back and reads what there is: the top-up of another customer goes through.
    store.guest.new_customer(1_000).await.unwrap();
    wait_for_status(&customer, &order, &["closing"]).await;

    let denied = customer.post(&verdict, &json!({})).await.unwrap();
    assert_eq!(denied.status, StatusCode::FORBIDDEN);
    let unknown = format!("/api/orders/{}/verdict", uuid::Uuid::now_v7());
    let unknown = store.manager.post(&unknown, &json!({})).await.unwrap();
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    // However often it is published, the money comes back once.
    for _ in 0..2 {
        let told = store.manager.post(&verdict, &json!({})).await.unwrap();
        assert_eq!(told.status, StatusCode::ACCEPTED);
    }
    let ended = customer.finished(&order, WITHIN).await.unwrap();
    assert_eq!(ended["status"], "refunded");
    let wanted =
        json!({ "available": 5_000, "held": 0, "stock": 10, "free": 5, "told": ["refunded"] });
    catalogue
        .expect(&store, &customer, &catalogue.slot, wanted)
        .await;
    store.stop().await;
}
