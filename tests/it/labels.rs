//! Values that clients invent make no time series.

use std::collections::BTreeSet;

use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use reqwest::Method;
use tovar::client::{Client, wait_for};

use crate::harness::{SERVICES, Store, WITHIN, each};

/// The series of all processes, by name and labels; those of a histogram's edges left out.
async fn series(store: &Store) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for ops in store.all_ops() {
        let text = reqwest::get(format!("http://{ops}/metrics")).await.unwrap();
        let text = text.text().await.unwrap();
        let lines = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.contains("le=\""));
        all.extend(lines.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_invent_makes_no_series() {
    const MANY: usize = 40;
    let store = Store::start_with(&each(&["--rate-limit=0"])).await;
    let before = series(&store).await;
    let mut doors = vec![store.guest.clone()];
    doors.extend(SERVICES.map(|service| Client::new(format!("http://{}", store.address(service)))));
    for number in 0..MANY {
        for door in &doors {
            let method = Method::from_bytes(format!("BREW{number}").as_bytes()).unwrap();
            let invented = format!("/api/nothing-{number}/{number}");
            for path in ["/api/goods", "/api/orders", "/api/zones", &invented] {
                let headers = [("host", &*format!("host-{number}")), ("traceparent", "x")];
                door.send_with(method.clone(), path, None, &headers)
                    .await
                    .unwrap();
            }
            let (goods, query) = (
                format!("/api/goods/sku-{number}"),
                format!("/api/goods?q{number}=1"),
            );
            for path in [&goods, &query, &invented] {
                door.get(path).await.unwrap();
            }
        }
    }
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", store.brokers())
        .create()
        .unwrap();
    let topic = format!("{}orders", store.prefix);
    for number in 0..MANY {
        let event_type = format!("foreign.{number}.v1");
        let id = uuid::Uuid::now_v7().to_string();
        let headers = [
            ("ce_id", &id),
            ("ce_type", &event_type),
            ("ce_source", &event_type),
        ];
        let headers = headers
            .into_iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header {
                    key,
                    value: Some(value),
                })
            });
        let record = FutureRecord::to(&topic)
            .key("k")
            .payload("{}")
            .headers(headers);
        producer.send(record, WITHIN).await.unwrap();
    }
    wait_for("the foreign events to be passed over", WITHIN, async || {
        let all = reqwest::get(format!("{}/metrics", store.ops["notifications"])).await?;
        let text = all.text().await?;
        let ignored = text
            .lines()
            .find(|line| line.contains("inbox_events_total") && line.contains("ignored"));
        let count = ignored.and_then(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok());
        Ok(count.is_some_and(|count| count >= MANY))
    })
    .await
    .unwrap();
    let new: Vec<String> = series(&store).await.difference(&before).cloned().collect();
    assert!(new.len() < 100, "{} new series: {new:#?}", new.len());
    let invented = |line: &&String| {
        line.contains("BREW") || line.contains("foreign") || line.contains("nothing")
    };
    assert_eq!(new.iter().find(invented), None);
    store.end().await;
}
