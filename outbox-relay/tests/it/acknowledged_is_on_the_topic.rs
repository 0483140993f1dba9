//! The events that the relay counts as acknowledged are on the topic in their order, whatever a
//! partition's leader answers at first. The brokers are librdkafka's mock: like a leader that has
//! no state of a producer, it takes any first sequence number.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use outbox_relay::Running;
use rdkafka::{
    mocking::MockCluster,
    producer::DefaultProducerContext,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};
use uuid::Uuid;

use crate::{
    kafka::Topic,
    parked::parked as parked_events,
    store::{Store, until},
};

/// Errors that a leader may answer for the moment, and, as the last one, an error for good.
const ERRORS: [RDKafkaRespErr; 7] = [
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
];
/// Long enough for a second request to be sent before the first is answered.
const ROUND_TRIP: Duration = Duration::from_millis(40);
const EVENTS: usize = 8;
const PARTITIONS: usize = 2;

/// A relay's database, and mock brokers with its topic.
struct Mocked {
    store: Store,
    brokers: MockCluster<'static, DefaultProducerContext>,
    topic: Topic,
    /// The unused keys of each partition.
    keys: [Vec<String>; PARTITIONS],
}

impl Mocked {
    async fn new() -> Self {
        let mut store = Store::new().await;
        let brokers = MockCluster::new(1).unwrap();
        let name = store.topic_name();
        brokers
            .create_topic(&name, PARTITIONS.try_into().unwrap(), 1)
            .unwrap();
        brokers.broker_round_trip_time(1, ROUND_TRIP).unwrap();
        store.brokers = brokers.bootstrap_servers();
        let mut relay = store.relay().await;
        for key in 0..100 {
            store.publish(&format!("key {key}"), "where it goes").await;
        }
        relay.stop().await.unwrap();
        let mut topic = Topic::open(&store.brokers, &name);
        topic
            .until_has(store.committed().await.into_iter().map(|(_, id)| id))
            .await;
        let mut keys = [Vec::new(), Vec::new()];
        for event in &topic.received {
            keys[usize::try_from(event.partition).unwrap()].push(event.key.clone());
        }
        Self {
            store,
            brokers,
            topic,
            keys,
        }
    }

    /// Runs a new relay, whose first requests to one partition are answered with `errors`.
    async fn refused_at_first(&mut self, errors: &[RDKafkaRespErr], knows_the_topic: bool) {
        let relay = self.store.relay().await;
        if knows_the_topic {
            let other = self.keys[1].pop().unwrap();
            self.store.publish(&other, "to another partition").await;
            self.acknowledged().await;
        }
        self.brokers.request_errors(RDKafkaApiKey::Produce, errors);
        let key = self.keys[0].pop().unwrap();
        for event in 0..EVENTS {
            self.store.publish(&key, &event.to_string()).await;
            tokio::time::sleep(ROUND_TRIP / 8).await;
        }
        self.acknowledged().await;
        end(relay).await;
        self.brokers.clear_request_errors(RDKafkaApiKey::Produce);
        self.check(errors).await;
    }

    async fn acknowledged(&self) {
        until("all is acknowledged", async || {
            self.store.unacknowledged().await == 0
        })
        .await;
    }

    /// Each event is on the topic or parked; in the order of its key, and none behind a parked one.
    async fn check(&mut self, errors: &[RDKafkaRespErr]) {
        let parked: Vec<Uuid> = parked_events(&self.store)
            .await
            .into_iter()
            .map(|(id, ..)| id)
            .collect();
        let committed = self.store.committed().await;
        let there = committed
            .iter()
            .map(|(_, id)| *id)
            .filter(|id| !parked.contains(id));
        self.topic.until_has(there).await;
        let mut expected: BTreeMap<&str, Vec<Uuid>> = BTreeMap::new();
        let mut with_parked: Vec<&str> = Vec::new();
        for (key, id) in &committed {
            if parked.contains(id) {
                with_parked.push(key);
            } else if with_parked.contains(&key.as_str()) {
                panic!("after {errors:?} an event went past a parked one of its key {key}");
            } else {
                expected.entry(key).or_default().push(*id);
            }
        }
        let found = self.topic.first_occurrences();
        let found: BTreeMap<&str, Vec<Uuid>> = found
            .iter()
            .map(|(key, ids)| (key.as_str(), ids.clone()))
            .collect();
        assert_eq!(found, expected, "after {errors:?}");
        for event in &self.topic.received {
            let other = self
                .topic
                .received
                .iter()
                .find(|other| other.key == event.key);
            assert_eq!(
                other.map(|other| other.partition),
                Some(event.partition),
                "a key has one partition"
            );
        }
    }
}

async fn end(mut relay: Running) {
    relay.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_refused_at_first_is_neither_lost_nor_overtaken() {
    let mut mocked = Mocked::new().await;
    for error in ERRORS {
        mocked.refused_at_first(&[error], true).await;
        mocked.refused_at_first(&[error], false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_refused_twice_is_neither_lost_nor_overtaken() {
    join_all(ERRORS.map(|first| async move {
        let mut mocked = Mocked::new().await;
        for second in ERRORS {
            mocked.refused_at_first(&[first, second], true).await;
        }
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_meets_each_refusal_in_turn_is_neither_lost_nor_overtaken() {
    let mut mocked = Mocked::new().await;
    mocked.refused_at_first(&ERRORS, true).await;
    let reversed: Vec<RDKafkaRespErr> = ERRORS.into_iter().rev().collect();
    mocked.refused_at_first(&reversed, true).await;
}
