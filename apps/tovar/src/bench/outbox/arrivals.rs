//! Counts the messages that arrive at the topic, from any relay.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};
use uuid::Uuid;

use super::{
    relay::{Relay, full_topic},
    rig::Run,
};
use crate::topics::header;

/// Between two counts. A count is a request for each partition, on cores that the relay may need.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Bounds each request to the broker.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(5);

/// The number of messages, from the ends of all partitions: nothing is deleted from a run's topic.
pub fn total(ends: &[i64]) -> anyhow::Result<u64> {
    Ok(u64::try_from(ends.iter().sum::<i64>())?)
}

/// Watches a run's topic by its offsets. To read its messages would take CPU of the broker that the
/// relay may need.
pub struct Arrivals {
    consumer: BaseConsumer,
    topic: String,
    partitions: i32,
}

impl Arrivals {
    pub fn of(run: &Run) -> anyhow::Result<Self> {
        let mut config = run.kafka.client_config("bench");
        config
            .set("group.id", "bench")
            .set("enable.auto.commit", "false")
            .set("fetch.message.max.bytes", "65536");
        Ok(Self {
            consumer: config.create()?,
            topic: full_topic(run),
            partitions: run.partitions,
        })
    }

    /// The offset of each partition's next message.
    pub fn ends(&self) -> anyhow::Result<Vec<i64>> {
        (0..self.partitions)
            .map(|partition| {
                let (_, high) =
                    self.consumer
                        .fetch_watermarks(&self.topic, partition, KAFKA_TIMEOUT)?;
                Ok(high)
            })
            .collect()
    }

    /// Messages in the topic.
    pub fn count(&self) -> anyhow::Result<u64> {
        total(&self.ends()?)
    }

    /// Waits until the topic holds `count` messages.
    pub async fn until(
        &self,
        count: u64,
        relay: &mut Relay,
        within: Duration,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.count()? < count {
            relay.check()?;
            if began.elapsed() > within {
                bail!(
                    "{} of {count} events arrived within {} s",
                    self.count()?,
                    within.as_secs()
                );
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }

    /// Seconds from the first message after the ends `since` to the last one, by the broker's
    /// clock.
    pub fn seconds(&self, since: &[i64]) -> anyhow::Result<f64> {
        let (mut first, mut last) = (i64::MAX, i64::MIN);
        for (partition, (&from, to)) in (0..).zip(since.iter().zip(self.ends()?)) {
            if to > from {
                first = first.min(self.time_at(partition, from)?);
                last = last.max(self.time_at(partition, to - 1)?);
            }
        }
        ensure!(last >= first, "nothing has arrived");
        Ok((last - first) as f64 / 1e3)
    }

    fn time_at(&self, partition: i32, offset: i64) -> anyhow::Result<i64> {
        let mut place = TopicPartitionList::new();
        place.add_partition_offset(&self.topic, partition, Offset::Offset(offset))?;
        self.consumer.assign(&place)?;
        let message = self
            .consumer
            .poll(KAFKA_TIMEOUT)
            .context("a message that is there does not come")??;
        message
            .timestamp()
            .to_millis()
            .context("a message without a time")
    }

    /// When the broker first wrote each event, in milliseconds of its clock.
    pub fn times(&self) -> anyhow::Result<HashMap<Uuid, i64>> {
        let mut places = TopicPartitionList::new();
        for partition in 0..self.partitions {
            places.add_partition_offset(&self.topic, partition, Offset::Beginning)?;
        }
        self.consumer.assign(&places)?;
        let count = self.count()?;
        let mut times = HashMap::new();
        for _ in 0..count {
            let message = self
                .consumer
                .poll(KAFKA_TIMEOUT)
                .context("a message that is there does not come")??;
            let id = header(&message, "ce_id")
                .context("a message without an id")?
                .parse()?;
            let time = message
                .timestamp()
                .to_millis()
                .context("a message without a time")?;
            times.entry(id).or_insert(time);
        }
        Ok(times)
    }
}
