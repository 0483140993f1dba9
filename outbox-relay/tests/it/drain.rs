use std::{collections::HashSet, time::Duration};

use connect::PostgresSettings;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    kafka::by_key,
    parked::{parked as parked_events, raise_the_limit},
    slow_line::over_a_slow_line,
    store::{Store, connect, until},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_told_to_stop_sends_what_was_committed_right_before() {
    let store = Store::new().await;
    for _ in 0..5 {
        let mut relay = store.relay().await;
        for event in 0..50 {
            store.publish(&format!("key {}", event % 3), "").await;
        }
        relay.stop().await.unwrap();
        assert_eq!(store.unacknowledged().await, 0, "something was left behind");
    }
    let mut topic = store.topic();
    let committed = store.committed().await;
    topic.until_has(committed.iter().map(|(_, id)| *id)).await;
    assert_eq!(topic.first_occurrences(), by_key(committed));
    assert_eq!(topic.received.len(), 250, "nothing is sent twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_larger_than_a_page_is_sent_in_order() {
    let store = Store::new().await;
    let sql = "SELECT count(outbox_publish(gen_random_uuid(), 'notes', 'key ' || n % 100,
                 'notes.noted.v1', '{}', NULL, 3, 2))
               FROM generate_series(1, 5000) n";
    store.number(sql).await;
    let mut settings = store.settings();
    settings.page = 70;
    let mut relay = outbox_relay::start(settings).await.unwrap();
    relay.stop().await.unwrap();
    let mut topic = store.topic();
    let committed = store.committed().await;
    topic.until_has(committed.iter().map(|(_, id)| *id)).await;
    assert_eq!(topic.first_occurrences(), by_key(committed));
    assert_eq!(topic.received.len(), 5000, "nothing is sent twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_whose_events_are_all_refused_stops_when_its_time_is_over() {
    let store = Store::with_topic(1, &[("max.message.bytes", "100")]).await;
    for event in 0..300 {
        store.publish(&format!("key {event}"), "").await;
    }
    let mut settings = store.settings();
    settings.drain_seconds = 1;
    let mut relay = outbox_relay::start(settings).await.unwrap();
    until("an event is parked", async || {
        !parked_events(&store).await.is_empty()
    })
    .await;
    tokio::time::timeout(Duration::from_secs(4), relay.stop())
        .await
        .expect("it ends a second after it was told to")
        .unwrap();
    let parked: HashSet<Uuid> = parked_events(&store)
        .await
        .into_iter()
        .map(|(id, ..)| id)
        .collect();
    assert!(parked.len() < 300, "there was more than it had time for");

    raise_the_limit(&store).await;
    let _relay = store.relay().await;
    let left = store.committed().await.into_iter().map(|(_, id)| id);
    let mut topic = store.topic();
    topic
        .until_has(left.filter(|id| !parked.contains(id)))
        .await;
}

/// After half a minute without a broker the relay makes a new Kafka client, which must not end the
/// drain.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_told_to_stop_in_a_long_outage_sends_what_is_there_when_kafka_is_back() {
    let servers = backing::shared().await.unwrap();
    let mut kafka = backing::own_kafka().await.unwrap();
    let store = Store::on(&servers.postgres, &kafka, 4, &[]).await;
    let mut settings = store.settings();
    settings.drain_seconds = 120;
    let mut relay = outbox_relay::start(settings).await.unwrap();
    store.publish("key", "before").await;
    until("it to be sent", async || store.unacknowledged().await == 0).await;
    let session =
        "SELECT coalesce(max(pid), 0)::bigint FROM pg_locks JOIN pg_database d ON d.oid = database
                   WHERE locktype = 'advisory' AND classid = 4 AND datname = current_database()";
    let first = store.number(session).await;
    kafka.kill().await.unwrap();
    store.publish("key", "meanwhile").await;
    let stopping = tokio::spawn(async move { relay.stop().await });
    until("the relay to begin anew", async || {
        ![0, first].contains(&store.number(session).await)
    })
    .await;
    kafka.start_again().await.unwrap();
    stopping.await.unwrap().unwrap();
    assert_eq!(store.unacknowledged().await, 0, "something was left behind");
}

/// A publisher is faster than the relay reads. The relay must send only what was committed before
/// it was told to stop.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_told_to_stop_does_not_wait_for_what_is_published_afterwards() {
    let store = Store::new().await;
    let mut settings = store.settings();
    settings.postgres = PostgresSettings::new(over_a_slow_line(&store.relay_url).await);
    let mut relay = outbox_relay::start(settings).await.unwrap();
    let publishing = CancellationToken::new();
    let publisher = tokio::spawn({
        let (client, publishing) = (connect(&store.url).await, publishing.clone());
        async move {
            let sql = "SELECT outbox_publish(gen_random_uuid(), 'notes', 'key', 'notes.noted.v1',
                         '{}', NULL, 3, 2)";
            while !publishing.is_cancelled() {
                client.query_one(sql, &[]).await.unwrap();
            }
        }
    });
    let sent = "SELECT count(*) FROM outbox, outbox_cursor
                WHERE pg_visible_in_snapshot(xid, acknowledged)";
    until("it sends", async || store.number(sent).await > 0).await;
    let now = "SELECT pg_current_snapshot()::text";
    let at_stop: String = store.client.query_one(now, &[]).await.unwrap().get(0);
    let began = Instant::now();
    relay.stop().await.unwrap();
    let took = began.elapsed();
    publishing.cancel();
    publisher.await.unwrap();
    assert!(took < Duration::from_secs(10), "{took:?}");
    let sql = "SELECT count(*) FROM outbox, outbox_cursor
               WHERE pg_visible_in_snapshot(xid, $1::text::pg_snapshot)
                 AND NOT pg_visible_in_snapshot(xid, acknowledged)";
    let unsent: i64 = store
        .client
        .query_one(sql, &[&at_stop])
        .await
        .unwrap()
        .get(0);
    assert_eq!(unsent, 0, "what was committed by then is sent");
    assert_ne!(
        store.unacknowledged().await,
        0,
        "nothing was published meanwhile"
    );
}
