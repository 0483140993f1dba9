use serde_json::json;
use tovar::client::wait_for;

use crate::harness::{Catalogue, MustSucceed, Store, WITHIN};

#[tokio::test(flavor = "multi_thread")]
async fn every_event_delivered_again_by_kafka_has_no_effect() {
    let store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    let order = catalogue.buy(&customer, &catalogue.order(2)).await;
    let wanted =
        json!({ "available": 3_000, "held": 0, "stock": 8, "free": 4, "told": ["delivered"] });
    catalogue
        .expect(&store, &customer, &catalogue.slot, wanted.clone())
        .await;
    let before = events_of_topics(&store).await;

    let mut again = 0;
    for service in store.databases.keys() {
        let mut client = store.sql(service).await;
        let ids: Vec<uuid::Uuid> = client
            .query("SELECT id FROM outbox ORDER BY position", &[])
            .await
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect();
        for id in ids {
            assert!(
                outbox::log::publish_again(&mut client, id, "test")
                    .await
                    .unwrap()
            );
            again += 1;
        }
    }
    assert!(again >= 10, "{again} events");
    // A new customer's order comes behind them all in every partition that matters, so they were
    // all seen.
    wait_for("the events to be on the topics again", WITHIN, async || {
        Ok(events_of_topics(&store).await == before + again)
    })
    .await
    .unwrap();
    let second = store.guest.new_customer(1_000).await.unwrap();
    assert_eq!(
        catalogue.buy(&second, &catalogue.order(1)).await["status"],
        "delivered"
    );

    let same = customer
        .ok_get(&format!("/api/orders/{}", order["id"].as_str().unwrap()))
        .await;
    assert_eq!(same["timeline"], order["timeline"]);
    let wanted =
        json!({ "available": 3_000, "held": 0, "stock": 7, "free": 3, "told": ["delivered"] });
    catalogue
        .expect(&store, &customer, &catalogue.slot, wanted)
        .await;
    store.stop().await;
}

/// The number of messages on the store's topics.
async fn events_of_topics(store: &Store) -> i64 {
    use rdkafka::consumer::{BaseConsumer, Consumer};
    let (brokers, prefix) = (store.brokers().to_owned(), store.prefix.clone());
    tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = rdkafka::ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .create()
            .expect("a consumer");
        let mut count = 0;
        for topic in contracts::catalogue::TOPICS {
            for partition in 0..crate::harness::PARTITIONS {
                let topic = format!("{prefix}{topic}");
                let (_, end) = consumer
                    .fetch_watermarks(&topic, partition, std::time::Duration::from_secs(10))
                    .expect("watermarks");
                count += end;
            }
        }
        count
    })
    .await
    .expect("the count")
}
