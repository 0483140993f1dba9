use std::time::Duration;

use futures_util::StreamExt;
use reqwest::{Response, StatusCode};
use serde_json::Value;

use crate::harness::{Shop, Store, WITHIN};

/// One event as it came.
struct Event {
    id: u32,
    name: String,
    data: Value,
}

/// Reads up to `most` events, or all until the stream ends.
async fn read(response: Response, most: usize) -> Vec<Event> {
    let (mut text, mut events) = (String::new(), Vec::new());
    let mut chunks = response.bytes_stream();
    while events.len() < most {
        let chunk = tokio::time::timeout(WITHIN, chunks.next())
            .await
            .expect("an event in time");
        let Some(chunk) = chunk else { break };
        text += std::str::from_utf8(&chunk.unwrap()).unwrap();
        while let Some((frame, rest)) = text.split_once("\n\n").map(|(a, b)| (a.to_owned(), b.to_owned())) {
            text = rest;
            let field = |name: &str| {
                let prefix = format!("{name}: ");
                frame
                    .lines()
                    .find_map(|line| line.strip_prefix(&prefix))
                    .map(ToOwned::to_owned)
            };
            if let (Some(id), Some(name), Some(data)) = (field("id"), field("event"), field("data")) {
                let (id, data) = (id.parse().unwrap(), serde_json::from_str(&data).unwrap());
                events.push(Event { id, name, data });
            }
        }
    }
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_watched_live_and_the_stream_resumes_where_it_was_cut() {
    let mut store = Store::start().await;
    let shop = Shop::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    let watch = async |order: &str, after: Option<&str>| {
        customer
            .stream(&format!("/api/orders/{order}/events"), after)
            .await
            .unwrap()
    };
    store.stop_service("delivery").await;
    let order = shop.place(&customer, &shop.order(1)).await;
    let first = watch(&order, None).await;
    assert_eq!(first.headers()["content-type"], "text/event-stream");
    let before = read(first, 3).await;
    let names: Vec<&str> = before.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["orders.placed", "billing.held", "warehouse.reserved"]);
    assert_eq!(before.iter().map(|event| event.id).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(before[2].data["status"], "reserved");

    let told = tokio::time::timeout(Duration::from_secs(10), read(watch(&order, Some("99")).await, 3)).await;
    assert_eq!(told.expect("no silence").len(), 3);

    let second = watch(&order, Some("3")).await;
    store.start_service("delivery").await;
    let after = read(second, usize::MAX).await;
    let names: Vec<&str> = after.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "delivery.booked",
            "billing.captured",
            "warehouse.shipped",
            "delivery.delivered",
            "orders.finished"
        ]
    );
    assert_eq!(after[0].id, 4);
    assert_eq!(after[4].data["status"], "delivered");

    assert_eq!(watch(&order, Some("8")).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(watch(&order, Some("x")).await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(read(watch(&order, Some("6")).await, usize::MAX).await.len(), 2);
    // An id that this stream has not given is from elsewhere: everything is told, instead of nothing.
    for unknown in ["9", "4000000000"] {
        assert_eq!(
            read(watch(&order, Some(unknown)).await, usize::MAX).await.len(),
            8
        );
    }
    let eve = store.guest.new_customer(0).await.unwrap();
    let foreign = eve
        .stream(&format!("/api/orders/{order}/events"), None)
        .await
        .unwrap();
    assert_eq!(foreign.status(), StatusCode::NOT_FOUND);
    store.stop().await;
}

/// Otherwise a service that stops would wait for its last watcher.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_stops_ends_its_streams() {
    let mut store = Store::start_with(&[("orders", &["--max-streams=1"])]).await;
    let shop = Shop::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    store.stop_service("warehouse").await;
    let order = shop.place(&customer, &shop.order(1)).await;
    let path = format!("/api/orders/{order}/events");
    let stream = customer.stream(&path, None).await.unwrap();
    let one_too_many = customer.stream(&path, None).await.unwrap();
    assert_eq!(one_too_many.status(), StatusCode::SERVICE_UNAVAILABLE);
    let stopped = tokio::time::timeout(Duration::from_secs(10), store.stop_service("orders")).await;
    stopped.expect("the service stops although somebody watches");
    assert!(!read(stream, usize::MAX).await.is_empty());
    store.start_service("orders").await;
    store.start_service("warehouse").await;
    store.stop().await;
}
