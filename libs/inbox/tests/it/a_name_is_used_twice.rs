use inbox::InboxSettings;

use crate::fixture::{Fixture, settings, subscriptions, wait_for};

/// Kafka then lets only the newer client work, and the older one fails for good.
#[tokio::test(flavor = "multi_thread")]
async fn and_the_first_process_goes_on_when_the_second_is_gone() {
    let fixture = Fixture::new(1).await;
    let settings = InboxSettings {
        inbox_instance: Some("replica-0".to_owned()),
        ..settings()
    };
    let first = fixture
        .consume_set(subscriptions(), "first", &settings)
        .await;
    fixture.send(0, "a", 0).await;
    wait_for("the first", async || fixture.effects_of("a").await == [0]).await;
    let second = fixture
        .consume_set(subscriptions(), "second", &settings)
        .await;
    let mut sent = 1;
    let by_second = "SELECT count(*) FROM effects WHERE who = 'second'";
    while fixture.number(by_second).await == 0 {
        fixture.send(0, "a", sent).await;
        sent += 1;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    second.stop().await;
    fixture.send(0, "a", sent).await;
    wait_for("the first to go on", async || {
        fixture.effects_of("a").await == (0..=sent).collect::<Vec<_>>()
    })
    .await;
    first.stop().await;
}
