use std::cell::Cell;

use kernel::Class;

use crate::fixture::{Act, Fixture, subscriptions, wait_for};

const EVENTS: i32 = 120;

async fn sent() -> Fixture {
    let fixture = Fixture::new(1).await;
    for n in 0..EVENTS {
        fixture.send(0, &format!("k{}", n % 7), n).await;
    }
    fixture
}

async fn order(fixture: &Fixture) -> Vec<i32> {
    fixture
        .effects()
        .await
        .into_iter()
        .map(|(_, n)| n)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_wait_share_transactions() {
    let fixture = sent().await;
    let running = fixture.consume().await;
    wait_for("all", async || order(&fixture).await.len() == 120).await;
    running.stop().await;
    assert_eq!(order(&fixture).await, (0..EVENTS).collect::<Vec<_>>());
    let transactions = fixture
        .number("SELECT count(DISTINCT xmin::text) FROM effects")
        .await;
    assert!(transactions < 60, "{transactions} transactions");
    let mixed =
        "SELECT count(*) FROM inbox i JOIN effects e USING (event_id) WHERE i.xmin <> e.xmin";
    assert_eq!(
        fixture.number(mixed).await,
        0,
        "an event and its effect are committed together"
    );
}

/// While the first batch is in work, the events of the other partitions gather. On a busy machine
/// one partition may be read long before the next; so more events come until some have met.
#[tokio::test(flavor = "multi_thread")]
async fn events_of_different_partitions_share_transactions() {
    let shared = "SELECT count(*) FROM (SELECT FROM effects GROUP BY xmin::text
                  HAVING count(DISTINCT key) > 1) AS shared";
    let fixture = Fixture::new(12).await;
    let running = fixture.consume().await;
    let sent = Cell::new(0);
    wait_for("transactions that are shared", async || {
        let before = sent.replace(sent.get() + EVENTS);
        for n in before..sent.get() {
            fixture.send(n % 12, &format!("k{}", n % 12), n).await;
        }
        let all = usize::try_from(sent.get()).unwrap();
        wait_for("all", async || order(&fixture).await.len() == all).await;
        fixture.number(shared).await > 0
    })
    .await;
    running.stop().await;
    for key in 0..12 {
        let wanted: Vec<_> = (0..sent.get()).filter(|n| n % 12 == key).collect();
        assert_eq!(fixture.effects_of(&format!("k{key}")).await, wanted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_waits_events_gather_between_transactions() {
    let fixture = Fixture::new(1).await;
    let running = fixture
        .consume_with(subscriptions().latency_tolerant(), "first")
        .await;
    for n in 0..EVENTS {
        fixture.send(0, "key", n).await;
    }
    wait_for("all", async || order(&fixture).await.len() == 120).await;
    running.stop().await;
    assert_eq!(order(&fixture).await, (0..EVENTS).collect::<Vec<_>>());
    let between = "SELECT percentile_disc(0.5)
                     WITHIN GROUP (ORDER BY extract(milliseconds FROM since)::bigint)
                   FROM (SELECT applied_at - lag(applied_at) OVER (ORDER BY applied_at) AS since
                         FROM (SELECT DISTINCT applied_at FROM inbox) AS transactions) AS pauses";
    let millis = fixture.number(between).await;
    assert!(millis >= 60, "{millis} ms between transactions");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_fails_alone() {
    let fixture = sent().await;
    fixture.make("k3", 31, Act::Fail(Class::Invalid));
    fixture.make("k5", 40, Act::Fail(Class::Bug));
    let running = fixture.consume().await;
    // Of the first 40, 31 is parked and 38 is parked behind it.
    wait_for("all before the bug", async || {
        order(&fixture).await.len() == 38
    })
    .await;
    fixture.act_normally();
    // Parked behind event 31, which has the same key: 38, 45, …, 115.
    wait_for("all", async || order(&fixture).await.len() == 120 - 13).await;
    running.stop().await;
    let wanted: Vec<_> = (0..EVENTS).filter(|n| *n < 31 || n % 7 != 3).collect();
    assert_eq!(order(&fixture).await, wanted);
    assert_eq!(fixture.parked().await.len(), 13);
    assert_eq!(fixture.counted("applied"), "107");
    assert_eq!(fixture.committed(0).await, 120);
}
