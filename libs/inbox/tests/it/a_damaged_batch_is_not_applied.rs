//! A broker sends what is on its disk without checking it.

use std::{
    fs::OpenOptions,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::Duration,
};

use backing::{Kafka, KafkaOptions, ServerKind};
use inbox::{UNREADABLE_PLACE, blocked, gaps};
use tokio::time::Instant;

use crate::fixture::{CONSUMER, Fixture, payload, wait_for};

/// A topic of two partitions on a broker whose files the test can change. The second message of the
/// first partition is damaged.
struct Damaged {
    fixture: Fixture,
    data: PathBuf,
    kafka: Option<Kafka>,
}

impl Damaged {
    async fn new() -> Option<Self> {
        if ServerKind::detect().await.unwrap() != ServerKind::Local {
            eprintln!("skipped: the broker's files are in a container");
            return None;
        }
        let data =
            std::env::temp_dir().join(format!("tovar-damaged-{}", uuid::Uuid::new_v4().simple()));
        let options = KafkaOptions {
            heap: 256,
            data: Some(data.clone()),
            ..KafkaOptions::default()
        };
        let kafka = Kafka::start(ServerKind::Local, options, &|_| {})
            .await
            .unwrap();
        let postgres = &backing::shared().await.unwrap().postgres;
        let fixture = Fixture::on(postgres, &kafka, 2).await;
        for n in 1..=3 {
            fixture.send(0, "a", n).await;
        }
        let damaged = Self {
            fixture,
            data,
            kafka: Some(kafka),
        };
        damaged.change(&payload("a", 2), &payload("a", 7));
        Some(damaged)
    }

    /// Overwrites one text with another one of its length, in the broker's file of the first
    /// partition.
    fn change(&self, from: &str, to: &str) {
        let folder = self.data.join(format!("log/{}-0", self.fixture.topic()));
        let log = folder.join("00000000000000000000.log");
        let bytes = std::fs::read(&log).unwrap();
        let at = bytes
            .windows(from.len())
            .position(|found| found == from.as_bytes())
            .unwrap();
        let log = OpenOptions::new()
            .write(true)
            .open(Path::new(&log))
            .unwrap();
        log.write_all_at(to.as_bytes(), u64::try_from(at).unwrap())
            .unwrap();
    }

    async fn wait_until_shown(&self) {
        wait_for("the note", async || {
            self.fixture
                .number("SELECT count(*) FROM inbox_blocked")
                .await
                == 1
        })
        .await;
        let [waits] = &blocked::list(&self.fixture.db, CONSUMER).await.unwrap()[..] else {
            panic!("another number of partitions waits");
        };
        assert_eq!(
            (waits.event_type.as_str(), waits.partition),
            (UNREADABLE_PLACE, 0)
        );
        assert!(
            waits.error.contains("offset 1 ") && waits.error.contains("CRC"),
            "{}",
            waits.error
        );
        assert_eq!(self.fixture.metric("inbox_unreadable_partitions"), "1");
        assert_eq!(self.fixture.metric("inbox_blocked_partitions"), "1");
    }

    async fn wait_until_it_goes_on(&self) {
        let fixture = &self.fixture;
        wait_for("the note to go", async || {
            fixture.number("SELECT count(*) FROM inbox_blocked").await == 0
        })
        .await;
        assert_eq!(fixture.metric("inbox_unreadable_partitions"), "0");
        assert_eq!(fixture.metric("inbox_blocked_partitions"), "0");
    }

    async fn end(mut self) {
        if let Some(kafka) = self.kafka.take() {
            kafka.stop().await.unwrap();
        }
        std::fs::remove_dir_all(&self.data).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_partition_waits_alone_and_goes_on_when_it_is_whole_again() {
    let Some(damaged) = Damaged::new().await else {
        return;
    };
    let fixture = &damaged.fixture;
    let running = fixture.consume().await;
    damaged.wait_until_shown().await;
    assert_eq!(fixture.effects_of("a").await, [1]);

    // The other partition is as quick as before.
    for n in 0..100 {
        let sent = Instant::now();
        fixture.send(1, "b", n).await;
        wait_for("the other partition", async || {
            fixture.effects_of("b").await.len() == usize::try_from(n).unwrap() + 1
        })
        .await;
        assert!(
            sent.elapsed() < Duration::from_secs(2),
            "event {n} took {:?}",
            sent.elapsed()
        );
    }
    // What comes behind it meanwhile is not applied either, however often the client reads again.
    fixture.send(0, "a", 4).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(fixture.effects_of("a").await, [1]);
    assert_eq!(fixture.committed(0).await, 1);

    damaged.change(&payload("a", 7), &payload("a", 2));
    wait_for("all", async || {
        fixture.effects_of("a").await == [1, 2, 3, 4]
    })
    .await;
    damaged.wait_until_it_goes_on().await;
    running.stop().await;
    damaged.end().await;
}

/// Where no broker has a whole copy, an operator deletes the partition's messages up to behind the
/// damage. That is a gap as any other.
#[tokio::test(flavor = "multi_thread")]
async fn its_partition_goes_on_behind_it_when_it_is_deleted() {
    let Some(damaged) = Damaged::new().await else {
        return;
    };
    let fixture = &damaged.fixture;
    let running = fixture.consume().await;
    damaged.wait_until_shown().await;
    fixture.delete_until(0, 2).await;
    wait_for("the rest", async || fixture.effects_of("a").await == [1, 3]).await;
    damaged.wait_until_it_goes_on().await;
    let [gap] = &gaps::list(&fixture.db, CONSUMER).await.unwrap()[..] else {
        panic!("another number of gaps");
    };
    assert_eq!((gap.partition, gap.first, gap.next), (0, 1, 2));
    running.stop().await;
    damaged.end().await;
}
