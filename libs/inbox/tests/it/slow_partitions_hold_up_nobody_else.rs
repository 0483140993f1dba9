use crate::fixture::{Act, Fixture, wait_for};

/// The partition has far more events than a consumer keeps in memory, so that it is paused; then it
/// goes on where it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_with_many_events_waits_alone() {
    let fixture = Fixture::new(2).await;
    fixture.make("slow", 0, Act::Wait);
    for n in 0..2500 {
        fixture.send(0, "slow", n).await;
    }
    let running = fixture.consume().await;
    for n in 0..50 {
        fixture.send(1, "quick", n).await;
    }
    wait_for("the quick one", async || {
        fixture.effects_of("quick").await.len() == 50
    })
    .await;
    assert!(fixture.effects_of("slow").await.is_empty());
    fixture.open_gate();
    wait_for("the slow one", async || {
        fixture.effects_of("slow").await.len() == 2500
    })
    .await;
    running.stop().await;
    assert_eq!(
        fixture.effects_of("slow").await,
        (0..2500).collect::<Vec<_>>()
    );
}

/// All events are there before the consumer starts, so that the slow one and the quick ones are in
/// one batch.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_takes_long_holds_up_none_that_it_was_taken_with() {
    let fixture = Fixture::new(12).await;
    fixture.make("slow", 0, Act::Wait);
    fixture.send(0, "slow", 0).await;
    for partition in 1..12 {
        fixture.send(partition, "quick", partition).await;
    }
    let running = fixture.consume().await;
    wait_for("the quick ones", async || {
        fixture.effects_of("quick").await.len() == 11
    })
    .await;
    assert!(fixture.effects_of("slow").await.is_empty());
    fixture.open_gate();
    wait_for("the slow one", async || {
        fixture.effects_of("slow").await == [0]
    })
    .await;
    running.stop().await;
}
