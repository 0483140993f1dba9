//! What a topic says that was published.

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

/// Without a message for so long, Kafka is not there.
const STALLED: Duration = Duration::from_secs(30);
/// By how much clocks may differ, and how long a message may be under way to Kafka.
const SLACK: TimeDelta = TimeDelta::hours(1);

/// A message of a topic, without its payload.
pub struct Message {
    pub partition: i32,
    pub offset: i64,
    pub key: String,
    pub event_type: String,
    /// When its sender gave it to Kafka, in whole milliseconds.
    pub sent_at: DateTime<Utc>,
    /// `None`: no relay wrote it.
    pub identity: Option<Identity>,
    pub digest: Digest,
}

/// What a topic held when its ends were asked for.
#[derive(Default)]
pub struct Messages {
    /// Of each partition in its order.
    pub all: Vec<Message>,
    /// By partition of which the beginning is gone: what was recorded until then may be gone.
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
    // It belongs to no group, commits nothing and leaves no trace.
    let client: BaseConsumer = kafka
        .client_config("cargo-tovar")
        .set("group.id", "cargo-tovar")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("allow.auto.create.topics", "false")
        .set("auto.offset.reset", "earliest")
        // What was changed on a broker's disk counts as missing.
        .set("check.crcs", "true")
        // A question for the ends waits behind a fetch.
        .set("fetch.wait.max.ms", "10")
        .create()?;
    let mut messages = Messages::default();
    // By partition up to where it is still to be read, and when the oldest that it has was sent.
    let mut open = BTreeMap::new();
    let mut oldest = BTreeMap::new();
    let mut places = TopicPartitionList::new();
    for ((low, high), partition) in ends(&client, topic)?.into_iter().zip(0..) {
        if low < high {
            open.insert(partition, high);
            places.add_partition_offset(topic, partition, Offset::Offset(low))?;
        }
    }
    client.assign(&places)?;
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
            Some(Err(error)) => ensure!(heard.elapsed() < STALLED, "Kafka says: {error}"),
            None => ensure!(heard.elapsed() < STALLED, "Kafka is silent"),
        }
    }
    client.unassign()?;
    // Also what was removed while it was read is gone.
    for ((low, _), partition) in ends(&client, topic)?.into_iter().zip(0..) {
        let oldest = oldest.get(&partition).filter(|(offset, _)| *offset >= low);
        if low > 0 {
            let until = oldest.map_or(DateTime::<Utc>::MAX_UTC, |(_, sent_at)| *sent_at + SLACK);
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
