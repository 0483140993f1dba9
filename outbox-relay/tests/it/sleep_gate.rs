use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::store::{Store, until};

async fn sleeps(store: &Store) -> bool {
    let lock = "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database
                WHERE d.datname = current_database() AND locktype = 'advisory' AND classid = 3
                  AND granted AND mode = 'ExclusiveLock'";
    store.number(lock).await == 1
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_relay_sleeps_and_is_woken_by_the_next_event() {
    let store = Store::new().await;
    let _relay = store.relay().await;
    let mut topic = store.topic();
    let first = store.publish("key", "the producer connects").await;
    topic.until_has([first]).await;
    let mut times = Vec::new();
    for _ in 0..15 {
        until("the relay sleeps", async || sleeps(&store).await).await;
        let id = store.publish("key", "wake up").await;
        let committed = Instant::now();
        topic.until_has([id]).await;
        times.push(committed.elapsed());
    }
    times.sort_unstable();
    // Polling every 500 ms without notifications would take 250 ms on average.
    assert!(times[7] < Duration::from_millis(120), "{times:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_relay_is_not_woken_for_each_event_and_sleeps_again_afterwards() {
    let store = Store::new().await;
    let _relay = store.relay().await;
    until("the relay sleeps", async || sleeps(&store).await).await;
    let is_busy = AtomicBool::new(true);
    let publishing = async |number: usize| {
        while is_busy.load(Ordering::Relaxed) {
            store.publish(&format!("key {number}"), "one of many").await;
        }
    };
    let polling = async {
        until("the relay polls by itself", async || !sleeps(&store).await).await;
        is_busy.store(false, Ordering::Relaxed);
    };
    tokio::join!(join_all((0..16).map(publishing)), polling);
    until("the relay sleeps again", async || sleeps(&store).await).await;
}
