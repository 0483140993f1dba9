//! Relays that start while partitions change their leaders lose nothing and keep the order of each
//! key. Of three brokers one after the other is killed and started again.

use std::{
    cell::Cell,
    collections::BTreeMap,
    process::{Command, Stdio},
    time::Duration,
};

use backing::KafkaCluster;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    kafka::{Topic, by_key},
    store::Store,
};

const PARTITIONS: i32 = 12;
/// Events for each start of a relay: so few for each partition that the client sends them as
/// several requests.
const EVENTS: usize = 30;
const KEYS: usize = 24;

/// Kills one broker after the other and starts it again, until told to stop.
async fn move_leaders(
    cluster: &mut KafkaCluster,
    restarts: &Cell<usize>,
    stop: &CancellationToken,
) {
    while !stop.is_cancelled() {
        let broker = restarts.get() % cluster.brokers.len();
        cluster.brokers[broker].kill().await.unwrap();
        // Other brokers take over the partitions that it led.
        tokio::time::sleep(Duration::from_secs(4)).await;
        cluster.brokers[broker].start_again().await.unwrap();
        cluster.until_all_are_there().await.unwrap();
        // It gets back the partitions that it led.
        tokio::time::sleep(Duration::from_secs(3)).await;
        restarts.update(|restarts| restarts + 1);
    }
}

fn can_have_local_servers() -> bool {
    let mut maven = Command::new("mvn");
    maven.arg("--version").stdout(Stdio::null());
    maven.status().is_ok_and(|status| status.success())
}

/// Runs at least this many starts of a relay, during at least one restart of a broker.
async fn relays_start_while_leaders_move(at_least: usize) {
    let mut cluster = backing::own_kafka_cluster().await.unwrap();
    let mut store = Store::new().await;
    store.brokers = cluster.bootstrap();
    let name = store.topic_name();
    let settings = [("min.insync.replicas", "2")];
    cluster
        .create_topic(&name, PARTITIONS, &settings)
        .await
        .unwrap();
    let mut settings = store.settings();
    settings.drain_seconds = 120;
    let (stop, restarts, starts) = (CancellationToken::new(), Cell::new(0), Cell::new(0));
    let relays = async {
        while starts.get() < at_least || restarts.get() == 0 {
            let start = starts.get();
            let mut relay = outbox_relay::start(settings.clone()).await.unwrap();
            for event in 0..EVENTS {
                store
                    .publish(&format!("key {}", event % KEYS), &start.to_string())
                    .await;
            }
            relay.stop().await.unwrap();
            assert_eq!(
                store.unacknowledged().await,
                0,
                "start {start}: something was left behind"
            );
            starts.set(start + 1);
        }
        stop.cancel();
    };
    tokio::join!(move_leaders(&mut cluster, &restarts, &stop), relays);
    let (starts, restarts) = (starts.get(), restarts.get());
    eprintln!("{starts} starts of a relay, {restarts} restarts of a broker");

    let committed = store.committed().await;
    assert_eq!(committed.len(), starts * EVENTS);
    let mut topic = Topic::open(&cluster.bootstrap(), &name);
    topic.until_has(committed.iter().map(|(_, id)| *id)).await;
    let expected: BTreeMap<String, Vec<Uuid>> = by_key(committed);
    assert_eq!(topic.first_occurrences(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_that_start_while_leaders_move_lose_nothing_and_keep_the_order() {
    if !can_have_local_servers() {
        eprintln!("skipped: it needs local processes, which come with a JDK and Maven");
        return;
    }
    relays_start_while_leaders_move(6).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes four minutes"]
async fn a_hundred_relays_that_start_while_leaders_move_lose_nothing_and_keep_the_order() {
    relays_start_while_leaders_move(100).await;
}
