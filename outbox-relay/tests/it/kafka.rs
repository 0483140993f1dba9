use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::Headers,
};
use uuid::Uuid;

/// A message as a consumer gets it.
#[derive(Clone, Debug)]
pub struct Received {
    pub partition: i32,
    pub key: String,
    pub payload: String,
    pub headers: BTreeMap<String, String>,
}

impl Received {
    pub fn id(&self) -> Uuid {
        self.headers["ce_id"].parse().unwrap()
    }
}

/// A topic, and the messages that were read of it so far.
pub struct Topic {
    name: String,
    consumer: Option<BaseConsumer>,
    pub received: Vec<Received>,
}

impl Topic {
    pub fn open(brokers: &str, topic: &str) -> Self {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", "test")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        let metadata = consumer
            .fetch_metadata(Some(topic), Duration::from_secs(20))
            .unwrap();
        let mut partitions = TopicPartitionList::new();
        for partition in metadata.topics()[0].partitions() {
            partitions
                .add_partition_offset(topic, partition.id(), Offset::Beginning)
                .unwrap();
        }
        consumer.assign(&partitions).unwrap();
        Self {
            name: topic.to_owned(),
            consumer: Some(consumer),
            received: Vec::new(),
        }
    }

    /// Reads on until all events with these ids have come.
    pub async fn until_has(&mut self, ids: impl IntoIterator<Item = Uuid>) {
        let mut missing: HashSet<Uuid> = ids.into_iter().collect();
        for message in &self.received {
            missing.remove(&message.id());
        }
        let wanted = missing.len();
        let consumer = self.consumer.take().unwrap();
        let read = move || {
            let mut received = Vec::new();
            let deadline = Instant::now() + Duration::from_secs(60);
            while !missing.is_empty() {
                assert!(
                    Instant::now() < deadline,
                    "{} of {wanted} events never came to Kafka: {:?}",
                    missing.len(),
                    missing.iter().take(5).collect::<Vec<_>>()
                );
                let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else {
                    continue;
                };
                let message = read(&message);
                missing.remove(&message.id());
                received.push(message);
            }
            (consumer, received)
        };
        let (consumer, received) = tokio::task::spawn_blocking(read).await.unwrap();
        self.consumer = Some(consumer);
        self.received.extend(received);
    }

    /// How many messages a partition has.
    pub fn end_of(&self, partition: i32) -> i64 {
        let consumer = self.consumer.as_ref().unwrap();
        let watermarks = consumer.fetch_watermarks(&self.name, partition, Duration::from_secs(20));
        watermarks.unwrap().1
    }

    /// The ids of each key in the order in which they came first.
    pub fn first_occurrences(&self) -> BTreeMap<String, Vec<Uuid>> {
        let mut seen = HashSet::new();
        let first = self
            .received
            .iter()
            .filter(|message| seen.insert(message.id()));
        by_key(first.map(|message| (message.key.clone(), message.id())))
    }

    /// The texts of a key in the order in which they came first.
    pub fn texts(&self, key: &str) -> Vec<String> {
        let mut seen = HashSet::new();
        let of_key = self
            .received
            .iter()
            .filter(|message| message.key == key && seen.insert(message.id()));
        of_key
            .map(|message| {
                let event: crate::store::Noted = serde_json::from_str(&message.payload).unwrap();
                event.text.chars().take(20).collect()
            })
            .collect()
    }
}

pub fn by_key(ids: impl IntoIterator<Item = (String, Uuid)>) -> BTreeMap<String, Vec<Uuid>> {
    let mut keys: BTreeMap<String, Vec<Uuid>> = BTreeMap::new();
    for (key, id) in ids {
        keys.entry(key).or_default().push(id);
    }
    keys
}

fn read(message: &rdkafka::message::BorrowedMessage<'_>) -> Received {
    let text =
        |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
    let headers = message.headers().unwrap();
    Received {
        partition: message.partition(),
        key: text(message.key()),
        payload: text(message.payload()),
        headers: headers
            .iter()
            .map(|header| (header.key.to_owned(), text(header.value)))
            .collect(),
    }
}
