use nix::sys::signal::Signal;
use uuid::Uuid;

use crate::{
    kafka::by_key,
    process::Process,
    store::{Store, until},
};

/// Reads the process id of the leader's session; 0 if there is none.
pub const LEADER: &str =
    "SELECT coalesce(max(pid), 0)::bigint FROM pg_locks JOIN pg_database d ON d.oid = database
    WHERE d.datname = current_database() AND locktype = 'advisory' AND classid = 4 AND granted";

async fn publish(store: &Store, events: usize) -> Vec<Uuid> {
    let mut ids = Vec::new();
    for event in 0..events {
        ids.push(store.publish(&format!("key {}", event % 5), "").await);
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_stands_by_takes_over_when_the_active_one_ends() {
    let store = Store::new().await;
    let mut topic = store.topic();
    let mut relays = vec![store.relay().await];
    until("there is a leader", async || {
        store.number(LEADER).await != 0
    })
    .await;
    for round in 0..4 {
        relays.push(store.relay().await);
        topic.until_has(publish(&store, 20).await).await;
        let mut leader = relays.remove(0);
        if round % 2 == 0 {
            leader.kill();
        } else {
            leader.stop().await.unwrap();
        }
        topic.until_has(publish(&store, 20).await).await;
    }
    assert_eq!(topic.first_occurrences(), by_key(store.committed().await));
}

/// The leader freezes, PostgreSQL ends its session, and it wakes up when another relay leads.
#[tokio::test(flavor = "multi_thread")]
async fn two_relays_at_once_do_no_harm() {
    let store = Store::new().await;
    let mut topic = store.topic();
    let frozen = Process::start(&store);
    until("the first one leads", async || {
        store.number(LEADER).await != 0
    })
    .await;
    let first = store.number(LEADER).await;
    publish(&store, 200).await;
    frozen.signal(Signal::SIGSTOP);
    let stuck = publish(&store, 200).await;

    let _second = store.relay().await;
    store
        .number(&format!(
            "SELECT pg_terminate_backend({first})::int::bigint"
        ))
        .await;
    until("the second one leads", async || {
        ![0, first].contains(&store.number(LEADER).await)
    })
    .await;
    frozen.signal(Signal::SIGCONT);
    let later = publish(&store, 200).await;
    topic.until_has(stuck.into_iter().chain(later)).await;
    assert_eq!(topic.first_occurrences(), by_key(store.committed().await));
}
