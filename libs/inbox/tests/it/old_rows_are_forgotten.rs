use crate::fixture::{Fixture, until};

#[tokio::test(flavor = "multi_thread")]
async fn after_the_days_for_which_they_are_kept() {
    let fixture = Fixture::new(1).await;
    fixture
        .run(
            "INSERT INTO inbox (consumer, event_id, type, applied_at)
             SELECT 'clerk', gen_random_uuid(), 'old', now() - interval '15 days' FROM generate_series(1, 25000);
             INSERT INTO inbox (consumer, event_id, type, applied_at)
             SELECT 'clerk', gen_random_uuid(), 'young', now() - interval '13 days' FROM generate_series(1, 100);
             INSERT INTO inbox (consumer, event_id, type, applied_at)
             SELECT 'another', gen_random_uuid(), 'old', now() - interval '15 days' FROM generate_series(1, 10)",
        )
        .await;
    let running = fixture.consume().await;
    let old = "SELECT count(*) FROM inbox WHERE consumer = 'clerk' AND type = 'old'";
    until("the old ones to go", async || fixture.number(old).await == 0).await;
    running.stop().await;
    assert_eq!(fixture.number("SELECT count(*) FROM inbox").await, 110);
}
