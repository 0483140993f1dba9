//! Which events a topic says were published.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use connect::KafkaSettings;
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::BorrowedMessage,
};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use uuid::Uuid;

use super::history::{Digest, Identity};
use crate::topics::{ends, header, is_within_reach};

/// Kafka counts as away when no message comes for this long.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);
/// Bounds the difference between clocks plus the time that a message takes to Kafka.
const CLOCK_SLACK: TimeDelta = TimeDelta::hours(1);

/// A message of a topic, without its payload.
pub struct Message {
    pub partition: i32,
    pub offset: i64,
    pub key: String,
    pub event_type: String,
    /// When the sender gave it to Kafka's client, in whole milliseconds.
    pub sent_at: DateTime<Utc>,
    /// `None` if no relay wrote it.
    pub identity: Option<Identity>,
    pub digest: Digest,
}

/// The messages of a topic up to the ends that it had when the reading began.
#[derive(Default)]
pub struct Messages {
    /// Messages of one partition are in its order.
    pub all: Vec<Message>,
    /// For each partition whose beginning Kafka has removed: events recorded until this time may be
    /// gone.
    pub gone_until: BTreeMap<i32, DateTime<Utc>>,
}

impl Messages {
    pub async fn read(kafka: &KafkaSettings, topic: &str) -> anyhow::Result<Self> {
        is_within_reach(kafka)?;
        let (kafka, topic) = (kafka.clone(), kafka.topic(topic));
        tokio::task::spawn_blocking(move || read(&kafka, &topic)).await?
    }
}

fn read(kafka: &KafkaSettings, topic: &str) -> anyhow::Result<Messages> {
    // This consumer joins no group and commits nothing.
    let client: BaseConsumer = kafka
        .client_config("cargo-tovar")
        .set("group.id", "cargo-tovar")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("allow.auto.create.topics", "false")
        .set("auto.offset.reset", "earliest")
        // A message that was changed on a broker's disk counts as missing.
        .set("check.crcs", "true")
        // Short, because a request for the ends waits behind a fetch.
        .set("fetch.wait.max.ms", "10")
        .create()?;
    let mut messages = Messages::default();
    // By partition: the end up to which it is still to be read; the offset and time of its oldest
    // message.
    let mut open = BTreeMap::new();
    let mut oldest = BTreeMap::new();
    let mut partitions = TopicPartitionList::new();
    for ((low, high), partition) in ends(&client, topic)?.into_iter().zip(0..) {
        if low < high {
            open.insert(partition, high);
            partitions.add_partition_offset(topic, partition, Offset::Offset(low))?;
        }
    }
    client.assign(&partitions)?;
    let mut heard = Instant::now();
    while !open.is_empty() {
        match client.poll(Duration::from_millis(100)) {
            Some(Ok(found)) => {
                heard = Instant::now();
                let (partition, offset) = (found.partition(), found.offset());
                let Some(high) = open.get(&partition).copied() else {
                    continue;
                };
                if offset < high {
                    let message = message(&found)?;
                    oldest.entry(partition).or_insert((offset, message.sent_at));
                    messages.all.push(message);
                }
                if offset + 1 >= high {
                    open.remove(&partition);
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(error)) => ensure!(heard.elapsed() < SILENCE_TIMEOUT, "Kafka says: {error}"),
            None => ensure!(heard.elapsed() < SILENCE_TIMEOUT, "Kafka is silent"),
        }
    }
    client.unassign()?;
    // Asked again: messages that Kafka removed meanwhile are gone too.
    for ((low, _), partition) in ends(&client, topic)?.into_iter().zip(0..) {
        let oldest = oldest.get(&partition).filter(|(offset, _)| *offset >= low);
        if low > 0 {
            let until = oldest.map_or(DateTime::<Utc>::MAX_UTC, |(_, sent_at)| {
                *sent_at + CLOCK_SLACK
            });
            messages.gone_until.insert(partition, until);
        }
    }
    Ok(messages)
}

fn sent_at(message: &BorrowedMessage<'_>) -> anyhow::Result<DateTime<Utc>> {
    let millis = message.timestamp().to_millis();
    millis
        .and_then(DateTime::from_timestamp_millis)
        .context("a message without a time")
}

fn message(found: &BorrowedMessage<'_>) -> anyhow::Result<Message> {
    let header = |name| header(found, name);
    let id = header("ce_id").and_then(|id| Uuid::parse_str(id).ok());
    let time = header("ce_time").and_then(|time| DateTime::parse_from_rfc3339(time).ok());
    let digest = Sha256::digest(found.payload().unwrap_or_default());
    let (digest, _) = digest.split_first_chunk().expect("SHA-256 has 32 bytes");
    Ok(Message {
        partition: found.partition(),
        offset: found.offset(),
        key: String::from_utf8_lossy(found.key().unwrap_or_default()).into_owned(),
        event_type: header("ce_type").unwrap_or_default().to_owned(),
        sent_at: sent_at(found)?,
        identity: id.zip(time.map(|time| time.to_utc())),
        digest: *digest,
    })
}
