use std::time::{Duration, Instant};

use futures_util::{StreamExt, future::join_all};
use reqwest::{Response, StatusCode};
use serde_json::Value;
use tovar::client::{Client, wait_for};

use crate::harness::{Catalogue, Store, WITHIN};

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
        while let Some((frame, rest)) = text
            .split_once("\n\n")
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
        {
            text = rest;
            let field = |name: &str| {
                let prefix = format!("{name}: ");
                frame
                    .lines()
                    .find_map(|line| line.strip_prefix(&prefix))
                    .map(ToOwned::to_owned)
            };
            if let (Some(id), Some(name), Some(data)) = (field("id"), field("event"), field("data"))
            {
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
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    let watch = async |order: &str, after: Option<&str>| {
        customer
            .stream(&format!("/api/orders/{order}/events"), after)
            .await
            .unwrap()
    };
    store.stop_service("delivery").await;
    let order = catalogue.place(&customer, &catalogue.order(1)).await;
    let first = watch(&order, None).await;
    assert_eq!(first.headers()["content-type"], "text/event-stream");
    let before = read(first, 3).await;
    let names: Vec<&str> = before.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(
        names,
        ["orders.placed", "billing.held", "warehouse.reserved"]
    );
    assert_eq!(
        before.iter().map(|event| event.id).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    assert_eq!(before[2].data["status"], "reserved");

    let told = tokio::time::timeout(
        Duration::from_secs(10),
        read(watch(&order, Some("99")).await, 3),
    )
    .await;
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

    assert_eq!(
        watch(&order, Some("8")).await.status(),
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        watch(&order, Some("x")).await.status(),
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        read(watch(&order, Some("6")).await, usize::MAX).await.len(),
        2
    );
    // An id that this stream has not given is from elsewhere: everything is told, instead of
    // nothing.
    for unknown in ["9", "4000000000"] {
        assert_eq!(
            read(watch(&order, Some(unknown)).await, usize::MAX)
                .await
                .len(),
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

/// Otherwise a service that stops would wait until its last stream ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_stops_ends_its_streams() {
    let mut store = Store::start_with(&[("orders", &["--max-streams=1"])]).await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    store.stop_service("warehouse").await;
    let order = catalogue.place(&customer, &catalogue.order(1)).await;
    let path = format!("/api/orders/{order}/events");
    let mut stream = customer.stream(&path, None).await.unwrap();
    let told = tokio::time::timeout(WITHIN, stream.chunk()).await;
    assert!(told.expect("an event in time").unwrap().is_some());
    let one_too_many = customer.get(&path).await.unwrap();
    assert_eq!(
        (one_too_many.status, one_too_many.code()),
        (StatusCode::SERVICE_UNAVAILABLE, Some("streams_busy"))
    );
    let stopped = tokio::time::timeout(Duration::from_secs(10), store.stop_service("orders")).await;
    stopped.expect("the service stops although somebody watches");
    // It comes back once the stream has ended.
    read(stream, usize::MAX).await;
    store.start_service("orders").await;
    store.start_service("warehouse").await;
    store.stop().await;
}

/// One customer would otherwise take the places of all.
#[tokio::test(flavor = "multi_thread")]
async fn one_user_has_so_many_streams() {
    let mut store = Store::start_with(&[("orders", &["--max-streams=8"])]).await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let (eve, ada) = (
        store.guest.new_customer(5_000).await.unwrap(),
        store.guest.new_customer(5_000).await.unwrap(),
    );
    store.stop_service("warehouse").await;
    let path = async |who: &Client| {
        format!(
            "/api/orders/{}/events",
            catalogue.place(who, &catalogue.order(1)).await
        )
    };
    let (of_eve, of_ada) = (path(&eve).await, path(&ada).await);
    let mut open = Vec::new();
    for _ in 0..5 {
        let stream = eve.stream(&of_eve, None).await.unwrap();
        assert_eq!(stream.status(), StatusCode::OK);
        open.push(stream);
    }
    for _ in 0..60 {
        let refused = eve.get(&of_eve).await.unwrap();
        assert_eq!(
            (refused.status, refused.code()),
            (StatusCode::TOO_MANY_REQUESTS, Some("too_many_streams"))
        );
        assert!(refused.retry_after().is_some());
    }
    assert_eq!(
        ada.stream(&of_ada, None).await.unwrap().status(),
        StatusCode::OK
    );
    // A stream that has ended leaves its place.
    open.pop();
    wait_for("a place to be free", WITHIN, async || {
        Ok(eve.stream(&of_eve, None).await?.status() == StatusCode::OK)
    })
    .await
    .unwrap();
    drop(open);
    store.start_service("warehouse").await;
    store.stop().await;
}

/// The number of connections that orders has asked its pool for.
async fn gets(store: &Store) -> f64 {
    let url = format!("{}/metrics", store.ops["orders"]);
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    let counts = text
        .lines()
        .filter(|line| line.starts_with("tovar_db_pool_gets_total"))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    counts.sum()
}

/// If each stream asked for itself, other requests would get no connection to the database.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_read_once_for_all_who_watch_it() {
    const MANY: usize = 150;
    let settings = [
        "--max-streams-per-user=1000",
        "--rate-limit=0",
        "--database-pool-size=2",
    ];
    let mut store = Store::start_with(&[("orders", &settings)]).await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    store.stop_service("billing").await;
    let order = catalogue.place(&customer, &catalogue.order(1)).await;
    let path = format!("/api/orders/{order}/events");
    let streams = (0..MANY).map(|_| customer.stream(&path, Some("1")));
    let streams = join_all(streams).await.into_iter().map(Result::unwrap);
    let before = gets(&store).await;
    let began = Instant::now();
    store.start_service("billing").await;
    let told = join_all(streams.map(|stream| read(stream, usize::MAX))).await;
    // The query for news every 50 ms, and the queries of the order's own events.
    let (took, asked) = (began.elapsed(), gets(&store).await - before);
    let by_time = took.as_secs_f64() * 40.0;
    for events in &told {
        assert_eq!(events.len(), 7);
        assert_eq!(events[6].name, "orders.finished");
    }
    let of_each = 7.0 * f64::from(u32::try_from(MANY).unwrap());
    assert!(
        by_time < of_each / 2.0,
        "{took:?} is too long to tell anything"
    );
    assert!(asked < by_time + of_each / 4.0, "{asked} times in {took:?}");
    store.stop().await;
}
