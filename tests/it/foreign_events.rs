//! An event is believed from its producer only: on its topic, under its name.

use std::collections::BTreeMap;

use contracts::{catalogue, warehouse::GoodsListed};
use kernel::Event;
use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use reqwest::StatusCode;
use serde_json::json;
use tovar::{
    client::wait_for,
    services::{SERVICES, topic_of},
};
use uuid::Uuid;

use crate::harness::{Catalogue, Store, WITHIN};

/// A producer that may write to every topic.
struct Intruder {
    producer: FutureProducer,
    prefix: String,
}

impl Intruder {
    fn in_the(store: &Store) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", store.brokers());
        Self {
            producer: config.create().unwrap(),
            prefix: store.prefix.clone(),
        }
    }

    /// Writes an event on a topic in the name of a service; the event's id.
    async fn write(
        &self,
        event_type: &str,
        topic: &str,
        source: &str,
        key: &str,
        payload: &str,
    ) -> Uuid {
        let id = Uuid::now_v7();
        let (text, source) = (id.to_string(), format!("/tovar/{source}"));
        let headers = [
            ("ce_id", &*text),
            ("ce_type", event_type),
            ("ce_source", &*source),
        ];
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| {
                let value = Some(*value);
                headers.insert(Header { key, value })
            });
        let topic = format!("{}{topic}", self.prefix);
        let record = FutureRecord::to(&topic)
            .key(key)
            .payload(payload)
            .headers(headers);
        self.producer.send(record, WITHIN).await.unwrap();
        id
    }
}

/// The foreign events that a service has parked: their number by type, topic and key.
async fn parked(store: &Store, service: &str) -> anyhow::Result<BTreeMap<(String, String), i64>> {
    let sql =
        "SELECT type, topic, count(*) FROM inbox_parked WHERE code = 'foreign_event' GROUP BY 1, 2";
    let rows = store.sql(service).await.query(sql, &[]).await?;
    let topic = |topic: String| topic[store.prefix.len()..].to_owned();
    Ok(rows
        .iter()
        .map(|row| ((row.get(0), topic(row.get(1))), row.get(2)))
        .collect())
}

/// Every type that a service listens to, on every topic that it reads but the right one, and on
/// that one under every other name.
#[tokio::test(flavor = "multi_thread")]
async fn no_service_believes_an_event_that_does_not_come_from_its_producer() {
    let store = Store::start().await;
    let intruder = Intruder::in_the(&store);
    let mut ids = Vec::new();
    for entry in catalogue::all() {
        for topic in catalogue::TOPICS {
            if topic == entry.topic {
                continue;
            }
            for (on, by) in [(topic, entry.topic), (entry.topic, topic)] {
                let key = Uuid::now_v7().to_string();
                ids.push(intruder.write(entry.event_type, on, by, &key, "{}").await);
            }
        }
    }
    let mut subscriptions = 0;
    for service in SERVICES {
        let mut wanted = BTreeMap::new();
        for event_type in service.listens_to {
            subscriptions += 1;
            let producer = topic_of(event_type);
            for topic in service.reads() {
                let count = if topic == producer {
                    catalogue::TOPICS.len() - 1
                } else {
                    1
                };
                wanted.insert(
                    ((*event_type).to_owned(), topic.to_owned()),
                    i64::try_from(count).unwrap(),
                );
            }
        }
        if !wanted.is_empty() {
            let all_are_parked = async || Ok(parked(&store, service.name).await? == wanted);
            let in_time = wait_for("all to be parked", WITHIN, all_are_parked).await;
            let found = parked(&store, service.name).await.unwrap();
            assert!(
                in_time.is_ok(),
                "{}: {found:#?}, not {wanted:#?}",
                service.name
            );
        }
        let sql = store.sql(service.name).await;
        let applied = sql
            .query("SELECT type FROM inbox WHERE event_id = ANY($1)", &[&ids])
            .await
            .unwrap();
        assert!(
            applied.is_empty(),
            "{} applied {}",
            service.name,
            applied.len()
        );
        let others = "SELECT type, code, reason FROM inbox_parked WHERE code <> 'foreign_event'";
        let others = sql.query(others, &[]).await.unwrap();
        assert!(others.is_empty(), "{}: {others:?}", service.name);
    }
    assert!(subscriptions > 30, "{subscriptions}");
    store.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_that_is_not_the_warehouses_is_not_believed() {
    let store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    let orders = store.sql("orders").await;
    let sql = "SELECT payload::text FROM outbox WHERE type = $1 ORDER BY position DESC LIMIT 1";
    let listed = store
        .sql("warehouse")
        .await
        .query_one(sql, &[&GoodsListed::TYPE])
        .await;
    let mut listed: serde_json::Value = serde_json::from_str(listed.unwrap().get(0)).unwrap();
    listed["price"] = json!(1);
    listed["version"] = json!(1_000_000);
    let intruder = Intruder::in_the(&store);
    let payload = listed.to_string();
    intruder
        .write(
            GoodsListed::TYPE,
            "delivery",
            "warehouse",
            "another key",
            &payload,
        )
        .await;
    intruder
        .write(
            GoodsListed::TYPE,
            "warehouse",
            "delivery",
            "another key",
            &payload,
        )
        .await;
    wait_for("both to be put aside", WITHIN, async || {
        let sql = "SELECT count(*) FROM inbox_parked WHERE code = 'foreign_event'";
        Ok(orders.query_one(sql, &[]).await?.get::<_, i64>(0) == 2)
    })
    .await
    .unwrap();
    let order = async |expected: i64| {
        let mut order = catalogue.order(1);
        order["expected_total"] = json!(expected);
        customer.post("/api/orders", &order).await.unwrap()
    };
    let cheap = order(1).await;
    assert_eq!(
        (cheap.status, cheap.code()),
        (StatusCode::CONFLICT, Some("price_changed"))
    );
    assert_eq!(order(1_000).await.success().unwrap()["total"], 1_000);
    // The metric for the operator counts it.
    wait_for("the metric that is alerted on", WITHIN, async || {
        let text = reqwest::get(format!("{}/metrics", store.ops["orders"]))
            .await?
            .text()
            .await?;
        Ok(text
            .lines()
            .any(|line| line.starts_with("tovar_inbox_parked{") && line.ends_with(" 2")))
    })
    .await
    .unwrap();
    store.end().await;
}
