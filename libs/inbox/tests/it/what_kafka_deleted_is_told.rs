//! Kafka deletes what is older than a topic's retention, also if a consumer has not read it.

use inbox::gaps;
use rdkafka::{
    ClientConfig,
    producer::{BaseRecord, Producer, ThreadedProducer},
};

use crate::fixture::{CONSUMER, Fixture, wait_for};

/// Partition, first and next offset of each gap that is not acknowledged.
async fn gaps(fixture: &Fixture) -> Vec<(i32, i64, i64)> {
    let gaps = gaps::list(&fixture.db, CONSUMER).await.unwrap();
    let mut gaps: Vec<_> = gaps
        .iter()
        .map(|gap| (gap.partition, gap.first, gap.next))
        .collect();
    gaps.sort_unstable();
    gaps
}

/// Three events of each of two partitions are applied; then the consumer is stopped while three
/// more come.
async fn away() -> Fixture {
    let fixture = Fixture::new(2).await;
    let running = fixture.consume().await;
    for n in 0..3 {
        fixture.send(0, "a", n).await;
        fixture.send(1, "b", n).await;
    }
    wait_for("the first", async || fixture.effects().await.len() == 6).await;
    running.stop().await;
    for n in 3..6 {
        fixture.send(0, "a", n).await;
        fixture.send(1, "b", n).await;
    }
    fixture
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_consumer_was_away_for_too_long_until_an_operator_acknowledges_it() {
    let fixture = away().await;
    // One partition has a message left. The other one has none, so that no message shows the gap.
    fixture.delete_until(0, 5).await;
    fixture.delete_until(1, 6).await;
    let running = fixture.consume().await;
    wait_for("the gaps", async || {
        gaps(&fixture).await == [(0, 3, 5), (1, 3, 6)]
    })
    .await;
    wait_for("what is left", async || {
        fixture.effects_of("a").await == [0, 1, 2, 5]
    })
    .await;
    assert_eq!(fixture.effects_of("b").await, [0, 1, 2]);
    fixture.read_metrics().await;
    assert_eq!(fixture.metric("inbox_gaps"), "2");
    assert_eq!(inbox::status(&fixture.db, CONSUMER).await.unwrap().gaps, 2);

    let all = gaps::list(&fixture.db, CONSUMER).await.unwrap();
    assert!(
        gaps::acknowledge(&fixture.db, CONSUMER, all[0].id, "me")
            .await
            .unwrap()
    );
    assert!(
        !gaps::acknowledge(&fixture.db, CONSUMER, all[0].id, "me")
            .await
            .unwrap()
    );
    assert_eq!(gaps(&fixture).await.len(), 1);
    let audit =
        "SELECT count(*) FROM inbox_operations WHERE who = 'me' AND operation = 'acknowledge'";
    assert_eq!(fixture.number(audit).await, 1);
    fixture.read_metrics().await;
    assert_eq!(fixture.metric("inbox_gaps"), "1");

    // A restart does not report it again.
    running.stop().await;
    let running = fixture.consume().await;
    fixture.send(0, "a", 6).await;
    wait_for("the next one", async || {
        fixture.effects_of("a").await.contains(&6)
    })
    .await;
    running.stop().await;
    assert_eq!(gaps(&fixture).await.len(), 1);
}

/// Kafka forgets the offsets of a group that has had no member for a week.
#[tokio::test(flavor = "multi_thread")]
async fn also_when_the_offsets_of_its_group_are_forgotten() {
    let fixture = away().await;
    fixture
        .run(&format!(
            "INSERT INTO inbox_positions (consumer, topic, partition, next)
             VALUES ('{CONSUMER}', '{}', 0, 3)",
            fixture.topic()
        ))
        .await;
    fixture.delete_until(0, 5).await;
    fixture.forget_group().await;
    let running = fixture.consume().await;
    wait_for("the gap", async || gaps(&fixture).await == [(0, 3, 5)]).await;
    wait_for("the rest", async || {
        fixture.effects_of("b").await.len() == 6
    })
    .await;
    running.stop().await;
    // Kafka had all messages of the other partition, and delivered them again.
    assert_eq!(gaps(&fixture).await, [(0, 3, 5)]);
}

/// Kafka deletes only messages that were read.
#[tokio::test(flavor = "multi_thread")]
async fn and_what_was_read_before_is_no_gap() {
    let fixture = away().await;
    fixture.delete_until(0, 3).await;
    fixture.delete_until(1, 2).await;
    let running = fixture.consume().await;
    wait_for("all", async || fixture.effects().await.len() == 12).await;
    running.stop().await;
    assert_eq!(gaps(&fixture).await, []);
}

/// The end of a transaction takes an offset, and the messages of an aborted one are not delivered.
#[tokio::test(flavor = "multi_thread")]
async fn and_the_offsets_of_transactions_are_no_gap() {
    let fixture = Fixture::new(1).await;
    let running = fixture.consume().await;
    fixture.send(0, "a", 0).await;
    let (topic, brokers) = (fixture.topic(), fixture.kafka.kafka_brokers.clone());
    tokio::task::spawn_blocking(move || {
        let within = std::time::Duration::from_secs(60);
        let producer: ThreadedProducer<_> = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("transactional.id", &topic)
            .create()
            .unwrap();
        producer.init_transactions(within).unwrap();
        for commit in [true, false] {
            producer.begin_transaction().unwrap();
            producer
                .send(
                    BaseRecord::to(&topic)
                        .partition(0)
                        .key("of no one's")
                        .payload("{}"),
                )
                .map_err(|(error, _)| error)
                .unwrap();
            producer.flush(within).unwrap();
            if commit {
                producer.commit_transaction(within).unwrap();
            } else {
                producer.abort_transaction(within).unwrap();
            }
        }
    })
    .await
    .unwrap();
    fixture.send(0, "a", 1).await;
    wait_for("the next", async || fixture.effects_of("a").await == [0, 1]).await;
    running.stop().await;
    assert_eq!(gaps(&fixture).await, []);
}
