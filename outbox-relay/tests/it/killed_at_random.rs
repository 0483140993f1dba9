use std::{net::TcpListener, sync::Arc, time::Duration};

use connect::KafkaSettings;
use rand::Rng;
use tokio_util::sync::CancellationToken;

use crate::{
    kafka::by_key,
    process::Process,
    store::{Store, until},
};

const KILLS: usize = 25;

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_killed_at_random_points_loses_nothing() {
    let store = Arc::new(Store::new().await);
    killed_while_kafka_is_silent(&store).await;

    let writers = CancellationToken::new();
    let written: Vec<_> = (0..8)
        .map(|writer| tokio::spawn(write(store.clone(), writer, writers.clone())))
        .collect();
    for _ in 0..KILLS {
        let relay = Process::start(&store);
        let life = Duration::from_millis(rand::rng().random_range(20..400));
        tokio::time::sleep(life).await;
        drop(relay);
    }
    writers.cancel();
    let mut events = 0;
    for writer in written {
        events += writer.await.unwrap();
    }

    let _last = Process::start(&store);
    let committed = store.committed().await;
    assert_eq!(committed.len(), events + 1);
    let mut topic = store.topic();
    topic.until_has(committed.iter().map(|(_, id)| *id)).await;
    assert_eq!(topic.first_occurrences(), by_key(committed));
    until("the cursor has seen all", async || {
        store.unacknowledged().await == 0
    })
    .await;
}

/// A relay reads an event that Kafka never acknowledges. It must not say that it was sent.
async fn killed_while_kafka_is_silent(store: &Store) {
    // A broker that accepts connections and does not answer.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let brokers = silent.local_addr().unwrap().to_string();
    let mut settings = store.settings();
    settings.kafka = KafkaSettings::new(brokers, &store.prefix);
    settings.drain_seconds = 1;
    store.publish("key 0", "no broker takes it").await;
    let mut relay = outbox_relay::start(settings).await.unwrap();
    until("the relay leads", async || {
        let lock =
            "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database WHERE granted
                    AND d.datname = current_database() AND locktype = 'advisory' AND classid = 4";
        store.number(lock).await == 1
    })
    .await;
    // The relay tries to send for its whole grace period, and then saves its cursor.
    relay.stop().await.unwrap();
    assert_eq!(
        store.unacknowledged().await,
        1,
        "saved before Kafka acknowledged it"
    );
}

async fn write(store: Arc<Store>, writer: usize, stop: CancellationToken) -> usize {
    let mut written = 0;
    while !stop.is_cancelled() {
        store
            .publish(&format!("key {}", (writer + written) % 12), "")
            .await;
        written += 1;
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    written
}
