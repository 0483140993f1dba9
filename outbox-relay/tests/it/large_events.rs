use nix::sys::signal::Signal;

use crate::{
    process::Process,
    store::{Store, until},
};

/// The memory that a relay may use: the chart's limit is 128 MiB. This debug build needs more than
/// the release build that is deployed.
const MEMORY_KIB_MAX: u64 = 128 * 1024;
const MEGABYTES: &str =
    "SELECT count(outbox_publish(gen_random_uuid(), 'notes', 'key ' || n, 'notes.noted.v1',
    to_json(repeat('x', 999000))::text, NULL, 3, 2)) FROM generate_series(1, 300) n";

#[tokio::test(flavor = "multi_thread")]
async fn many_large_events_do_not_cost_a_relay_its_memory() {
    let store = Store::new().await;
    store.number(MEGABYTES).await;
    let relay = Process::start(&store);
    until("all is sent", async || {
        let peak = relay.peak();
        assert!(peak < MEMORY_KIB_MAX, "{peak} KiB");
        store.unacknowledged().await == 0
    })
    .await;
    println!("at most {} KiB", relay.peak());
    relay.signal(Signal::SIGTERM);
}

/// After the small events the relay reads a thousand at a time, until it meets large ones.
#[tokio::test(flavor = "multi_thread")]
async fn large_events_after_many_small_ones_do_not_cost_a_relay_its_memory() {
    let store = Store::new().await;
    let small = "SELECT count(outbox_publish(gen_random_uuid(), 'notes', 'key ' || n,
                   'notes.noted.v1', '{}', NULL, 3, 2))
                 FROM generate_series(1, 20000) n";
    store.number(small).await;
    let relay = Process::start(&store);
    until("the small ones are sent", async || {
        store.unacknowledged().await == 0
    })
    .await;
    store.number(MEGABYTES).await;
    until("all is sent", async || {
        let peak = relay.peak();
        assert!(peak < MEMORY_KIB_MAX, "{peak} KiB");
        store.unacknowledged().await == 0
    })
    .await;
    println!("at most {} KiB", relay.peak());
}
