//! What the topics hold, and how far the services have read them.

use std::{
    collections::BTreeMap,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use connect::KafkaSettings;
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaResult,
    message::{BorrowedMessage, Headers},
};
use serde::Serialize;

use crate::services::ServiceInfo;

/// Bounds each request to Kafka.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two requests to a broker that does not know its partition yet.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// The messages of a topic that a service has not read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Unread {
    /// Without the prefix.
    pub topic: &'static str,
    /// Messages between its committed offsets and the topic's end. Offsets are committed once a
    /// second.
    pub messages: i64,
}

/// For each service, what it has not read of each of its topics. A topic without messages counts as
/// read.
pub async fn unread(
    kafka: &KafkaSettings,
    services: Vec<ServiceInfo>,
) -> anyhow::Result<BTreeMap<&'static str, Vec<Unread>>> {
    is_within_reach(kafka)?;
    let kafka = kafka.clone();
    tokio::task::spawn_blocking(move || {
        let mut ends = Ends::default();
        services
            .iter()
            .map(|service| {
                let of_service = of_service(&kafka, service, &mut ends);
                let unread = of_service.with_context(|| {
                    format!("how far {} has read cannot be asked of Kafka", service.name)
                })?;
                Ok((service.name, unread))
            })
            .collect()
    })
    .await?
}

/// An error if the store file names no Kafka.
pub fn is_within_reach(kafka: &KafkaSettings) -> anyhow::Result<()> {
    ensure!(
        !kafka.kafka_brokers.is_empty(),
        "Kafka is not within reach; `cargo tovar connect --kafka` forwards it"
    );
    Ok(())
}

/// The first and the next offset of each partition, by topic.
type Ends = BTreeMap<&'static str, Vec<(i64, i64)>>;

fn of_service(
    kafka: &KafkaSettings,
    service: &ServiceInfo,
    ends: &mut Ends,
) -> anyhow::Result<Vec<Unread>> {
    let topics = service.reads();
    if topics.is_empty() {
        return Ok(Vec::new());
    }
    // This consumer asks for the group's offsets and never joins the group.
    let client: BaseConsumer = kafka
        .client_config("cargo-tovar")
        .set("group.id", kafka.topic(service.name))
        .set("enable.auto.commit", "false")
        .set("allow.auto.create.topics", "false")
        .create()?;
    let mut wanted = TopicPartitionList::new();
    for topic in &topics {
        let known = ends_of(&client, kafka, topic, ends)?;
        let last = i32::try_from(known.len())? - 1;
        wanted.add_partition_range(&kafka.topic(topic), 0, last);
    }
    let committed = client.committed_offsets(wanted, KAFKA_TIMEOUT)?;
    let unread_of = |topic: &'static str| {
        let partitions = ends[topic]
            .iter()
            .zip(0..)
            .map(|((first, end), partition)| {
                let done = committed
                    .find_partition(&kafka.topic(topic), partition)
                    .map(|found| found.offset());
                let next = match done {
                    Some(Offset::Offset(next)) => next.max(*first),
                    // Nothing is committed: the service begins with the oldest message.
                    _ => *first,
                };
                (end - next).max(0)
            });
        Unread {
            topic,
            messages: partitions.sum(),
        }
    };
    Ok(topics.into_iter().map(unread_of).collect())
}

fn ends_of<'e>(
    client: &BaseConsumer,
    kafka: &KafkaSettings,
    topic: &'static str,
    ends: &'e mut Ends,
) -> anyhow::Result<&'e Vec<(i64, i64)>> {
    if !ends.contains_key(topic) {
        ends.insert(topic, self::ends(client, &kafka.topic(topic))?);
    }
    Ok(&ends[topic])
}

/// The first and the next offset of each partition of the topic with this full name.
pub fn ends(client: &BaseConsumer, name: &str) -> anyhow::Result<Vec<(i64, i64)>> {
    let metadata = client.fetch_metadata(Some(name), KAFKA_TIMEOUT)?;
    let found = metadata
        .topics()
        .first()
        .context("a topic without metadata")?;
    anyhow::ensure!(found.error().is_none(), "there is no topic {name}");
    let partitions = 0..i32::try_from(found.partitions().len())?;
    let of_partition = |partition| ends_of_partition(client, name, partition);
    Ok(partitions.map(of_partition).collect::<Result<_, _>>()?)
}

/// The ends of one partition. It retries: for a moment after its start, or after the creation of a
/// topic, a broker may not know that it leads a partition.
fn ends_of_partition(client: &BaseConsumer, name: &str, partition: i32) -> KafkaResult<(i64, i64)> {
    let deadline = Instant::now() + KAFKA_TIMEOUT;
    loop {
        match client.fetch_watermarks(name, partition, KAFKA_TIMEOUT) {
            Err(_) if Instant::now() < deadline => sleep(RETRY_DELAY),
            found => return found,
        }
    }
}

/// A header of a message, such as `ce_id`.
pub fn header<'m>(message: &'m BorrowedMessage<'_>, name: &str) -> Option<&'m str> {
    let headers = message.headers()?;
    let found = headers.iter().find(|header| header.key == name)?;
    std::str::from_utf8(found.value?).ok()
}
