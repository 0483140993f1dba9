use inbox::InboxSettings;

use crate::fixture::{Fixture, settings, subscriptions, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn after_the_days_for_which_they_are_kept() {
    let fixture = Fixture::new(1).await;
    fixture
        .run(
            "INSERT INTO inbox (consumer, event_id, type, applied_at)
             SELECT 'clerk', gen_random_uuid(), 'old', now() - interval '15 days'
             FROM generate_series(1, 25000);
             INSERT INTO inbox (consumer, event_id, type, applied_at)
             SELECT 'clerk', gen_random_uuid(), 'young', now() - interval '13 days'
             FROM generate_series(1, 100);
             INSERT INTO inbox (consumer, event_id, type, applied_at)
             SELECT 'another', gen_random_uuid(), 'old', now() - interval '15 days'
             FROM generate_series(1, 10)",
        )
        .await;
    let running = fixture.consume().await;
    let old = "SELECT count(*) FROM inbox WHERE consumer = 'clerk' AND type = 'old'";
    wait_for("the old ones to go", async || {
        fixture.number(old).await == 0
    })
    .await;
    running.stop().await;
    assert_eq!(fixture.number("SELECT count(*) FROM inbox").await, 110);
}

/// Only rows of events that were applied or discarded are deleted, and later than those of events
/// that were never parked: until then Kafka may deliver them again.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_parked_too_once_it_is_done_with() {
    let fixture = Fixture::new(1).await;
    for (days, kind) in [(31, "old"), (29, "young")] {
        for state in ["parked", "replay", "applied", "discarded"] {
            fixture
                .run(&format!(
                    "INSERT INTO inbox_parked (consumer, event_id, topic, partition, \"offset\",
                       key, type, payload, code, reason, state, parked_at, changed_at)
                     SELECT 'clerk', gen_random_uuid(), 'notes', 0, n, 'key',
                       '{kind}', '', 'a', 'b', '{state}', now() - interval '300 days',
                       now() - interval '{days} days' FROM generate_series(1, 11000) n"
                ))
                .await;
        }
    }
    // The consumer would replay these events, although it does not read their topic.
    fixture
        .run("UPDATE inbox_parked SET state = 'parked' WHERE state = 'replay'")
        .await;
    let running = fixture.consume().await;
    let done = "SELECT count(*) FROM inbox_parked
                WHERE type = 'old' AND state IN ('applied', 'discarded')";
    wait_for("the old ones to go", async || {
        fixture.number(done).await == 0
    })
    .await;
    running.stop().await;
    assert_eq!(
        fixture.number("SELECT count(*) FROM inbox_parked").await,
        6 * 11_000
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn days_that_contradict_each_other_are_refused_at_the_start() {
    let fixture = Fixture::new(1).await;
    let settings = InboxSettings {
        inbox_days: 14,
        inbox_parked_days: 13,
        ..settings()
    };
    let refused = fixture
        .try_consume(subscriptions(), &settings)
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(
        refused.contains("INBOX_PARKED_DAYS=13") && refused.contains("INBOX_DAYS=14"),
        "{refused}"
    );
}
