use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use backing::{Kafka, Postgres};
use connect::KafkaSettings;
use db::{Db, DbError, DbSettings, Tx};
use diesel::{sql_query, sql_types};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use inbox::{Delivery, InboxSettings, Message, Metrics, Running, StartError, Subscriptions};
use kernel::{Class, Classify, Event, EventId};
use prometheus_client::registry::Registry;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub const CONSUMER: &str = "clerk";
/// The producer's name in its events.
pub const SOURCE: &str = "/test/notes";
const TIMEOUT: Duration = Duration::from_secs(60);

/// The only event that the consumer has a handler for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Noted {
    pub key: String,
    pub n: i32,
}
impl Event for Noted {
    const TYPE: &'static str = "notes.noted.v1";
    const TOPIC: &'static str = "notes";
    fn key(&self) -> String {
        self.key.clone()
    }
}

/// What the handler does with an event after it has inserted the effect.
#[derive(Clone, Copy)]
pub enum Act {
    Fail(Class),
    Panic,
    /// Waits until the gate is open.
    Wait,
}

#[derive(Clone)]
pub struct State {
    /// The name of the replica, which the handler writes into each effect.
    pub who: &'static str,
    acts: Arc<Mutex<HashMap<(String, i32), Act>>>,
    gate: watch::Sender<bool>,
}

#[derive(Debug, thiserror::Error)]
enum NoteError {
    #[error("the test wants it so")]
    Wanted(Class),
    #[error(transparent)]
    Db(#[from] DbError),
}
impl Classify for NoteError {
    fn class(&self) -> Class {
        match self {
            Self::Wanted(class) => *class,
            Self::Db(error) => error.class(),
        }
    }
    fn code(&self) -> &'static str {
        "wanted"
    }
}

async fn note(tx: &mut Tx<'_>, state: &State, noted: Delivery<Noted>) -> Result<(), NoteError> {
    let Noted { key, n } = noted.event;
    sql_query("INSERT INTO effects (event_id, key, n, who) VALUES ($1, $2, $3, $4)")
        .bind::<sql_types::Uuid, _>(noted.id)
        .bind::<sql_types::Text, _>(&key)
        .bind::<sql_types::Integer, _>(n)
        .bind::<sql_types::Text, _>(state.who)
        .execute(&mut **tx)
        .await
        .map_err(DbError::from)?;
    let act = state.acts.lock().unwrap().get(&(key, n)).copied();
    match act {
        Some(Act::Fail(class)) => Err(NoteError::Wanted(class)),
        Some(Act::Panic) => panic!("the test wants it so"),
        Some(Act::Wait) => {
            let mut gate = state.gate.subscribe();
            // It fails only when the gate is dropped, and that outlives the consumer.
            let _ = gate.wait_for(|is_open| *is_open).await;
            Ok(())
        }
        None => Ok(()),
    }
}

impl State {
    /// From now on the handler does this with an event.
    pub fn make(&self, key: &str, n: i32, act: Act) {
        self.acts.lock().unwrap().insert((key.to_owned(), n), act);
    }
}

pub fn subscriptions() -> Subscriptions<State> {
    Subscriptions::group(CONSUMER).on(note)
}

/// Settings with short delays.
pub fn settings() -> InboxSettings {
    InboxSettings {
        inbox_retry_first: 20,
        inbox_retry_most: 200,
        ..InboxSettings::default()
    }
}

/// A database and a topic of a test's own.
pub struct Fixture {
    pub db: Db,
    pub state: State,
    pub kafka: KafkaSettings,
    name: String,
    registry: Registry,
    metrics: Metrics,
    sql: tokio_postgres::Client,
    producer: FutureProducer,
}

impl Fixture {
    /// On the servers that all tests share.
    pub async fn new(partitions: i32) -> Self {
        let servers = backing::shared().await.unwrap();
        Self::on(&servers.postgres, &servers.kafka, partitions).await
    }

    pub async fn on(postgres: &Postgres, kafka: &Kafka, partitions: i32) -> Self {
        let name = format!("inbox-{}", uuid::Uuid::new_v4().simple());
        let url = postgres.create_database(&name).await.unwrap();
        let settings = DbSettings::new(&url);
        db::migrate(&settings, vec![inbox::MIGRATIONS])
            .await
            .unwrap();
        let db = Db::open(&settings, "inbox-test").await.unwrap();
        db.transaction("test.effects", async |tx| -> Result<(), DbError> {
            let table = "CREATE TABLE effects (seq bigint GENERATED ALWAYS AS IDENTITY,
                           event_id uuid NOT NULL, key text NOT NULL, n integer NOT NULL,
                           who text NOT NULL)";
            Ok(tx.batch_execute(table).await?)
        })
        .await
        .unwrap();
        let prefix = format!("{name}-");
        kafka
            .create_topics(&[&format!("{prefix}{}", Noted::TOPIC)], partitions)
            .await
            .unwrap();
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let producer = ClientConfig::new()
            .set("bootstrap.servers", kafka.bootstrap())
            .set("acks", "all")
            .create()
            .unwrap();
        Self {
            db,
            state: State {
                who: "first",
                acts: Arc::default(),
                gate: watch::Sender::new(false),
            },
            kafka: KafkaSettings::new(kafka.bootstrap(), prefix),
            registry,
            metrics,
            sql: postgres.connect(&name).await.unwrap(),
            producer,
            name,
        }
    }

    pub fn topic(&self) -> String {
        self.kafka.topic(Noted::TOPIC)
    }

    /// From now on the handler does this with an event.
    pub fn make(&self, key: &str, n: i32, act: Act) {
        self.state.make(key, n, act);
    }

    /// From now on the handler does nothing but insert effects.
    pub fn act_normally(&self) {
        self.state.acts.lock().unwrap().clear();
    }

    pub fn open_gate(&self) {
        self.state.gate.send_replace(true);
    }

    pub async fn consume(&self) -> Running {
        self.consume_as("first").await
    }

    /// Starts one more replica.
    pub async fn consume_as(&self, who: &'static str) -> Running {
        self.consume_with(subscriptions(), who).await
    }

    /// Starts one with other subscriptions.
    pub async fn consume_with(
        &self,
        subscriptions: Subscriptions<State>,
        who: &'static str,
    ) -> Running {
        self.consume_set(subscriptions, who, &settings()).await
    }

    /// Starts one with other subscriptions and settings.
    pub async fn consume_set(
        &self,
        subscriptions: Subscriptions<State>,
        who: &'static str,
        settings: &InboxSettings,
    ) -> Running {
        let state = State {
            who,
            ..self.state.clone()
        };
        self.start(subscriptions, state, settings).await.unwrap()
    }

    pub async fn try_consume(
        &self,
        subscriptions: Subscriptions<State>,
        settings: &InboxSettings,
    ) -> Result<Running, StartError> {
        self.start(subscriptions, self.state.clone(), settings)
            .await
    }

    async fn start(
        &self,
        subscriptions: Subscriptions<State>,
        state: State,
        settings: &InboxSettings,
    ) -> Result<Running, StartError> {
        inbox::start(
            subscriptions,
            state,
            self.db.clone(),
            &self.kafka,
            settings,
            self.metrics.clone(),
        )
        .await
    }

    /// Sends event `n` of a key, under a new id.
    pub async fn send(&self, partition: i32, key: &str, n: i32) -> EventId {
        let id = EventId::now_v7();
        self.send_again(partition, key, n, id).await;
        id
    }

    pub async fn send_again(&self, partition: i32, key: &str, n: i32, id: EventId) {
        let headers = event_headers(id, Noted::TYPE);
        self.send_raw(partition, Some(key), &payload(key, n), headers)
            .await;
    }

    pub async fn send_raw(
        &self,
        partition: i32,
        key: Option<&str>,
        payload: &str,
        headers: OwnedHeaders,
    ) {
        let topic = self.topic();
        let mut record = FutureRecord::<str, str>::to(&topic)
            .partition(partition)
            .payload(payload)
            .headers(headers);
        record.key = key;
        self.producer
            .send(record, TIMEOUT)
            .await
            .map_err(|(error, _)| error)
            .unwrap();
    }

    /// Sends a message of any bytes.
    pub async fn send_bytes(
        &self,
        partition: i32,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: OwnedHeaders,
    ) {
        let topic = self.topic();
        let mut record = FutureRecord::<[u8], [u8]>::to(&topic)
            .partition(partition)
            .headers(headers);
        (record.key, record.payload) = (key, payload);
        self.producer
            .send(record, TIMEOUT)
            .await
            .map_err(|(error, _)| error)
            .unwrap();
    }

    /// All effects, in the order in which the handler inserted them.
    pub async fn effects(&self) -> Vec<(String, i32)> {
        let rows = self
            .sql
            .query("SELECT key, n FROM effects ORDER BY seq", &[])
            .await
            .unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// The effects of a key.
    pub async fn effects_of(&self, key: &str) -> Vec<i32> {
        let rows = self
            .sql
            .query("SELECT n FROM effects WHERE key = $1 ORDER BY seq", &[&key])
            .await
            .unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Code and state of each parked event, in the order of their arrival.
    pub async fn parked(&self) -> Vec<(String, String)> {
        let sql = "SELECT code, state FROM inbox_parked ORDER BY seq";
        let rows = self.sql.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    pub async fn first_parked(&self, key: &str) -> EventId {
        let sql = "SELECT event_id FROM inbox_parked WHERE key = $1 ORDER BY seq LIMIT 1";
        self.sql.query_one(sql, &[&key]).await.unwrap().get(0)
    }

    pub async fn number(&self, sql: &str) -> i64 {
        self.sql.query_one(sql, &[]).await.unwrap().get(0)
    }

    pub async fn text(&self, sql: &str) -> String {
        self.sql.query_one(sql, &[]).await.unwrap().get(0)
    }

    pub async fn run(&self, sql: &str) {
        self.sql.batch_execute(sql).await.unwrap();
    }

    /// The value of `inbox_events_total` for an outcome.
    pub fn counted(&self, outcome: &str) -> String {
        let event_type = if outcome == "ignored" {
            "other"
        } else {
            Noted::TYPE
        };
        let labels = format!(r#"{{type="{event_type}",outcome="{outcome}"}}"#);
        self.metric(&format!("inbox_events_total{labels}"))
    }

    pub fn metric(&self, series: &str) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        line.unwrap_or_else(|| panic!("{series} is not in\n{text}"))
            .trim()
            .to_owned()
    }

    /// The offset from which the group would go on in a partition.
    pub async fn committed(&self, partition: i32) -> i64 {
        let consumer: BaseConsumer = self
            .kafka
            .client_config("test")
            .set("group.id", self.kafka.topic(CONSUMER))
            .create()
            .unwrap();
        let mut wanted = TopicPartitionList::new();
        wanted.add_partition(&self.topic(), partition);
        let committed =
            tokio::task::spawn_blocking(move || consumer.committed_offsets(wanted, TIMEOUT));
        match committed.await.unwrap().unwrap().elements()[0].offset() {
            Offset::Offset(offset) => offset,
            _ => 0,
        }
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.kafka.client_config("test").create().unwrap()
    }

    /// Deletes all messages before an offset, as Kafka does with old ones.
    pub async fn delete_until(&self, partition: i32, offset: i64) {
        let mut until = TopicPartitionList::new();
        until
            .add_partition_offset(&self.topic(), partition, Offset::Offset(offset))
            .unwrap();
        let options = AdminOptions::new();
        let deleted = self.admin().delete_records(&until, &options).await.unwrap();
        deleted.elements()[0].error().unwrap();
    }

    /// Has Kafka forget the group and its offsets, as it does itself after a week without members.
    pub async fn forget_group(&self) {
        let group = self.kafka.topic(CONSUMER);
        let forgotten = self
            .admin()
            .delete_groups(&[&group], &AdminOptions::new())
            .await;
        forgotten.unwrap().remove(0).unwrap();
    }

    /// Reads the metrics from the database, as a service does every few seconds.
    pub async fn read_metrics(&self) {
        self.metrics.read(&self.db, CONSUMER).await.unwrap();
    }

    /// The number of replicas in the group.
    pub async fn members(&self) -> usize {
        let consumer: BaseConsumer = self.kafka.client_config("test").create().unwrap();
        let group = self.kafka.topic(CONSUMER);
        let count = move || {
            let groups = consumer.fetch_group_list(Some(&group), TIMEOUT).unwrap();
            groups
                .groups()
                .iter()
                .map(|group| group.members().len())
                .sum()
        };
        tokio::task::spawn_blocking(count).await.unwrap()
    }

    /// The same fixture with a new session, after a restart of the server.
    pub async fn reconnected(self, postgres: &Postgres) -> Self {
        let sql = postgres.connect(&self.name).await.unwrap();
        Self { sql, ..self }
    }

    /// An event as Kafka would deliver it.
    pub fn message(&self, key: &str, n: i32, id: EventId) -> Message {
        Message {
            id,
            event_type: Noted::TYPE.to_owned(),
            source: Some(SOURCE.to_owned()),
            topic: self.topic(),
            partition: 0,
            offset: 0,
            key: key.into(),
            time: None,
            trace: None,
            payload: payload(key, n).into_bytes(),
            unreadable: None,
        }
    }

    pub async fn deliver(&self, message: &Message) -> Result<inbox::Outcome, inbox::Retry> {
        self.deliver_with(&self.state, message).await
    }

    /// Delivers a message in another replica, whose handler has a state of its own.
    pub async fn deliver_with(
        &self,
        state: &State,
        message: &Message,
    ) -> Result<inbox::Outcome, inbox::Retry> {
        let subscriptions = subscriptions().prefixed(&self.kafka.kafka_prefix);
        inbox::deliver(&self.db, &subscriptions, state, message).await
    }

    pub fn state_of_its_own(&self) -> State {
        State {
            who: "another",
            acts: Arc::default(),
            gate: self.state.gate.clone(),
        }
    }
}

pub fn payload(key: &str, n: i32) -> String {
    format!(r#"{{"key":"{key}","n":{n}}}"#)
}

pub fn event_headers(id: EventId, event_type: &str) -> OwnedHeaders {
    headers(&[
        ("ce_id", id.to_string()),
        ("ce_type", event_type.to_owned()),
        ("ce_source", SOURCE.to_owned()),
        ("ce_time", "2026-01-01T00:00:00Z".to_owned()),
    ])
}

pub fn headers(all: &[(&str, String)]) -> OwnedHeaders {
    all.iter()
        .fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header {
                key,
                value: Some(value),
            })
        })
}

/// Asks until the answer is yes, for [`TIMEOUT`] at most.
pub async fn wait_for<F: Future<Output = bool>>(what: &str, ask: impl Fn() -> F) {
    let deadline = tokio::time::Instant::now() + TIMEOUT;
    while !ask().await {
        assert!(
            tokio::time::Instant::now() < deadline,
            "not within {TIMEOUT:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
