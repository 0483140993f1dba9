//! What is on the topic, read without a group.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use anyhow::Context;
use connect::KafkaSettings;
use kernel::Event;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::BorrowedMessage,
};
use uuid::Uuid;

use super::{consumer::Noted, process::Places};
use crate::topics::{ends, header};

const PATIENCE: Duration = Duration::from_secs(30);

/// First occurrences of events in their order, and how far they were read.
#[derive(Default)]
pub struct Topic {
    pub first: Vec<(String, Uuid)>,
    pub duplicates: u64,
    known: HashSet<Uuid>,
    next: HashMap<i32, i64>,
}

impl Topic {
    /// Reads what has come since the last time.
    pub fn read_on(&mut self, places: &Places) -> anyhow::Result<()> {
        let kafka = KafkaSettings::new(&places.brokers, &places.prefix);
        let topic = kafka.topic(Noted::TOPIC);
        let mut config = kafka.client_config("prove-judge");
        config
            .set("group.id", "prove-judge")
            .set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config.create()?;
        for (partition, (_, end)) in (0..).zip(ends(&consumer, &topic)?) {
            let mut next = self.next.get(&partition).copied().unwrap_or(0);
            if next == end {
                continue;
            }
            let mut place = TopicPartitionList::new();
            place.add_partition_offset(&topic, partition, Offset::Offset(next))?;
            consumer.assign(&place)?;
            while next < end {
                let message = consumer
                    .poll(PATIENCE)
                    .context("a message that is there does not come")?;
                // An error of the line, after which the client goes on by itself.
                let Ok(message) = message else { continue };
                next = message.offset() + 1;
                self.take(&message)?;
            }
            self.next.insert(partition, next);
        }
        Ok(())
    }

    fn take(&mut self, message: &BorrowedMessage<'_>) -> anyhow::Result<()> {
        let key = String::from_utf8(message.key().context("a message without a key")?.to_vec())?;
        let id = header(message, "ce_id")
            .context("a message without an id")?
            .parse()?;
        if self.known.insert(id) {
            self.first.push((key, id));
        } else {
            self.duplicates += 1;
        }
        Ok(())
    }
}
