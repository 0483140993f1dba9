use std::time::Duration;

use crate::fixture::{Fixture, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn events_wait_for_a_database_that_is_away() {
    let mut postgres = backing::own_postgres().await.unwrap();
    let kafka = &backing::shared().await.unwrap().kafka;
    let fixture = Fixture::on(&postgres, kafka, 1).await;
    let running = fixture.consume().await;
    fixture.send(0, "a", 1).await;
    wait_for("the first", async || fixture.counted("applied") == "1").await;
    postgres.stop_immediately().await.unwrap();
    fixture.send(0, "a", 2).await;
    fixture.send(0, "a", 3).await;
    wait_for("an attempt", async || {
        fixture.metric("inbox_blocked_partitions") == "1"
    })
    .await;
    postgres.start_again().await.unwrap();
    wait_for("the others", async || fixture.counted("applied") == "3").await;
    running.stop().await;
    let fixture = fixture.reconnected(&postgres).await;
    assert_eq!(fixture.effects_of("a").await, [1, 2, 3]);
    assert_eq!(fixture.parked().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_stops_and_starts_while_kafka_is_away() {
    let postgres = &backing::shared().await.unwrap().postgres;
    let mut kafka = backing::own_kafka().await.unwrap();
    let fixture = Fixture::on(postgres, &kafka, 1).await;
    fixture.send(0, "a", 1).await;
    let running = fixture.consume().await;
    wait_for("the first", async || fixture.effects_of("a").await == [1]).await;
    kafka.kill().await.unwrap();
    let stopped = tokio::time::timeout(Duration::from_secs(20), running.stop()).await;
    assert!(stopped.is_ok(), "it waits for Kafka");
    let running = fixture.consume().await;
    kafka.start_again().await.unwrap();
    fixture.send(0, "a", 2).await;
    wait_for("the second", async || {
        fixture.effects_of("a").await.contains(&2)
    })
    .await;
    running.stop().await;
    assert_eq!(fixture.effects_of("a").await, [1, 2]);
}
