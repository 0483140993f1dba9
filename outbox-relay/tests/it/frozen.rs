//! A frozen leader does not keep a standby from leading, at whatever moment it freezes. These tests
//! do not end its session: PostgreSQL does, after its timeouts.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::Instant;
use tokio_postgres::Client;

use crate::{
    process::Process,
    store::{Store, connect, until},
    takeover::LEADER,
};

/// How long the takeover may take: 15 s until PostgreSQL ends the session, and some for the standby
/// on a busy machine.
const TAKEOVER_TIMEOUT: Duration = Duration::from_secs(22);

async fn leads(store: &Store) -> i64 {
    until("there is a leader", async || {
        store.number(LEADER).await != 0
    })
    .await;
    store.number(LEADER).await
}

/// Waits until the leader's session is in the state `what`.
async fn until_it_is(store: &Store, leader: i64, what: &str) {
    let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {leader} AND {what}");
    until(what, async || store.number(&sql).await == 1).await;
}

async fn until_it_waits_for_a_lock(client: &Client) {
    let sql = "SELECT FROM pg_stat_activity WHERE datname = current_database()
               AND application_name = 'outbox-relay' AND wait_event_type = 'Lock'";
    until("the relay waits for a lock", async || {
        client.query_opt(sql, &[]).await.unwrap().is_some()
    })
    .await;
}

/// Starts a second relay, which must take over in time and send what is published.
async fn another_takes_over(store: &Store, leader: i64) {
    let frozen_at = Instant::now();
    let published = store.publish("another key", "").await;
    let _second = store.relay().await;
    until("another one leads", async || {
        assert!(
            frozen_at.elapsed() < TAKEOVER_TIMEOUT,
            "the frozen relay keeps the lead"
        );
        ![0, leader].contains(&store.number(LEADER).await)
    })
    .await;
    store.topic().until_has([published]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_freezes_between_two_looks_loses_the_lead() {
    let store = Store::new().await;
    let relay = Process::start(&store);
    let leader = leads(&store).await;
    relay.signal(Signal::SIGSTOP);
    another_takes_over(&store, leader).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_freezes_while_it_parks_an_event_loses_the_lead() {
    let mut store = Store::new().await;
    let waiting = "INSERT INTO outbox_parked
                     (position, id, topic, key, type, payload, recorded_at, reason)
                   VALUES (1, gen_random_uuid(), 'notes', 'key', 'notes.noted.v1', '{}', now(),
                     'refused')";
    store.client.batch_execute(waiting).await.unwrap();
    let relay = Process::start(&store);
    let leader = leads(&store).await;
    let changes = store.client.transaction().await.unwrap();
    let exclusive = "LOCK TABLE outbox_parked IN SHARE ROW EXCLUSIVE MODE";
    changes.batch_execute(exclusive).await.unwrap();
    let publish = "SELECT outbox_publish(gen_random_uuid(), 'notes', 'key', 'notes.noted.v1', '{}',
                     NULL, 3, 2)";
    let other = connect(&store.url).await;
    other.batch_execute(publish).await.unwrap();
    until_it_waits_for_a_lock(&other).await;
    relay.signal(Signal::SIGSTOP);
    changes.rollback().await.unwrap();
    until_it_is(&store, leader, "state = 'idle in transaction'").await;
    another_takes_over(&store, leader).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_freezes_in_the_middle_of_a_large_answer_loses_the_lead() {
    let mut store = Store::new().await;
    let relay = Process::start(&store);
    let leader = leads(&store).await;
    let locks = store.client.transaction().await.unwrap();
    let large = "SELECT count(outbox_publish(gen_random_uuid(), 'notes', 'key ' || n,
                   'notes.noted.v1', to_json(repeat('x', 900000))::text, NULL, 3, 2))
                 FROM generate_series(1, 60) n";
    locks.query_one(large, &[]).await.unwrap();
    let nothing_is_read = "LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE";
    locks.batch_execute(nothing_is_read).await.unwrap();
    let other = connect(&store.url).await;
    until_it_waits_for_a_lock(&other).await;
    relay.signal(Signal::SIGSTOP);
    locks.commit().await.unwrap();
    until_it_is(
        &store,
        leader,
        "state = 'active' AND wait_event = 'ClientWrite'",
    )
    .await;
    another_takes_over(&store, leader).await;
}
