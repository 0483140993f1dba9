//! Reads the topic without a consumer group.

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

use super::{addresses::ServerAddresses, consumer::Noted};
use crate::topics::{ends, header};

/// Bounds the wait for a message that is on the topic.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(30);

/// The first message of each event, in the topic's order, and how far each partition was read.
#[derive(Default)]
pub struct Topic {
    pub first: Vec<(String, Uuid)>,
    pub duplicates: u64,
    known: HashSet<Uuid>,
    next: HashMap<i32, i64>,
}

impl Topic {
    /// Reads the messages that came since the last call.
    pub fn read_on(&mut self, addresses: &ServerAddresses) -> anyhow::Result<()> {
        let kafka = KafkaSettings::new(&addresses.brokers, &addresses.prefix);
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
                    .poll(KAFKA_TIMEOUT)
                    .context("a message that is there does not come")?;
                // An error of the connection, after which the client goes on by itself.
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
