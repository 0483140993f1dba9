//! What arrives at the topic, whichever relay sends it.

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

/// A look is requests for every partition, on the cores that the relay may need.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(5);

/// Messages up to the ends of all partitions; nothing is ever deleted from a run's topic.
pub fn total(ends: &[i64]) -> anyhow::Result<u64> {
    Ok(u64::try_from(ends.iter().sum::<i64>())?)
}

/// Looks at a run's topic without reading what is in it, which would cost the broker what the relay
/// may need.
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
                let (_, high) = self
                    .consumer
                    .fetch_watermarks(&self.topic, partition, PATIENCE)?;
                Ok(high)
            })
            .collect()
    }

    /// Messages in the topic.
    pub fn count(&self) -> anyhow::Result<u64> {
        total(&self.ends()?)
    }

    /// Waits until the topic holds so many messages.
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
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Seconds from the first message behind `since` to the last, by the broker's clock.
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
            .poll(PATIENCE)
            .context("a message that is there does not come")??;
        message
            .timestamp()
            .to_millis()
            .context("a message without a time")
    }

    /// When each event was first written by the broker, in milliseconds of its clock, by event.
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
                .poll(PATIENCE)
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
