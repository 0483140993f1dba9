use std::time::Duration;

use tokio::time::Instant;

use crate::store::{Store, until};

async fn sleeps(store: &Store) -> bool {
    let lock = "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database
                WHERE d.datname = current_database() AND locktype = 'advisory' AND classid = 3 AND granted
                  AND mode = 'ExclusiveLock'";
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
    // The safety net alone would take 250 ms in the middle.
    assert!(times[7] < Duration::from_millis(120), "{times:?}");
}
