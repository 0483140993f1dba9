use std::{future::Future, time::Duration};

use backing::{Kafka, PerRole, Postgres};
use connect::{KafkaSettings, PostgresSettings};
use db::{Db, DbError, DbSettings, Tx};
use kernel::Event;
use outbox::PublishError;
use outbox_relay::{RelaySettings, Running};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::kafka::Topic;

/// An event of these tests.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Noted {
    pub key: String,
    pub text: String,
}

impl Event for Noted {
    const TYPE: &'static str = "notes.noted.v1";
    const TOPIC: &'static str = "notes";
    fn key(&self) -> String {
        self.key.clone()
    }
}

pub fn noted(key: &str, text: &str) -> Noted {
    Noted {
        key: key.to_owned(),
        text: text.to_owned(),
    }
}

/// A service's database with an outbox, and the topic that its relay sends to.
pub struct Store {
    /// The address for a superuser, by which the tests publish and change rows.
    pub url: String,
    /// The address for the relay's role.
    pub relay_url: String,
    pub brokers: String,
    pub prefix: String,
    pub db: Db,
    pub client: Client,
}

impl Store {
    /// A store on the servers that all tests share.
    pub async fn new() -> Self {
        Self::with_topic(4, &[]).await
    }

    pub async fn with_topic(partitions: i32, settings: &[(&str, &str)]) -> Self {
        let servers = backing::shared().await.unwrap();
        Self::on(&servers.postgres, &servers.kafka, partitions, settings).await
    }

    pub async fn on(
        postgres: &Postgres,
        kafka: &Kafka,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> Self {
        let name = format!("relay{}", Uuid::now_v7().simple());
        let passwords = PerRole {
            owner: "an owner's".to_owned(),
            service: "a service's".to_owned(),
            relay: "a relay's".to_owned(),
            reader: "a reader's".to_owned(),
        };
        let relay_url = postgres.provision(&name, &passwords).await.unwrap().relay;
        let url = postgres.url(&name);
        let prefix = format!("{name}.");
        kafka
            .create_topic(&format!("{prefix}{}", Noted::TOPIC), partitions, settings)
            .await
            .unwrap();
        let client = postgres.connect(&name).await.unwrap();
        let settings = DbSettings {
            database_pool_size: 20,
            ..DbSettings::new(&url)
        };
        db::migrate(&settings, vec![outbox::MIGRATIONS])
            .await
            .unwrap();
        let db = Db::open(&settings, "test").await.unwrap();
        outbox::declare_topics(&db, &[Noted::TOPIC]).await.unwrap();
        Self {
            url,
            relay_url,
            brokers: kafka.bootstrap(),
            prefix,
            db,
            client,
        }
    }

    pub fn settings(&self) -> RelaySettings {
        self.settings_by(&self.relay_url)
    }

    /// The settings of a relay that uses this address of the database.
    pub fn settings_by(&self, url: &str) -> RelaySettings {
        let kafka = KafkaSettings::new(&self.brokers, &self.prefix);
        RelaySettings::new("/test", PostgresSettings::new(url), kafka)
    }

    pub async fn relay(&self) -> Running {
        outbox_relay::start(self.settings()).await.unwrap()
    }

    pub fn topic_name(&self) -> String {
        format!("{}{}", self.prefix, Noted::TOPIC)
    }

    /// The topic that the relay sends to, from its beginning.
    pub fn topic(&self) -> Topic {
        Topic::open(&self.brokers, &self.topic_name())
    }

    /// Publishes in a transaction of its own.
    pub async fn publish(&self, key: &str, text: &str) -> Uuid {
        let event = noted(key, text);
        self.db
            .transaction("test.publish", async move |tx: &mut Tx<'_>| {
                publish(tx, &event).await
            })
            .await
            .unwrap()
    }

    /// The ids of all committed events in the order of the log.
    pub async fn committed(&self) -> Vec<(String, Uuid)> {
        let rows = self
            .client
            .query("SELECT key, id FROM outbox ORDER BY position", &[])
            .await
            .unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// How many events of the log the saved cursor does not count as sent.
    pub async fn unacknowledged(&self) -> i64 {
        self.number(
            "SELECT count(*) FROM outbox, outbox_cursor
             WHERE NOT pg_visible_in_snapshot(xid, acknowledged)
               AND NOT coalesce(pg_visible_in_snapshot(xid, target)
                 AND outbox.position <= outbox_cursor.position, false)",
        )
        .await
    }

    pub async fn number(&self, sql: &str) -> i64 {
        self.client.query_one(sql, &[]).await.unwrap().get(0)
    }
}

/// Another session of a store's database.
pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Publishes an event and writes it at once, so that a test can let time pass before the commit.
pub async fn publish(tx: &mut Tx<'_>, event: &Noted) -> Result<Uuid, PublishError> {
    let id = outbox::publish(tx, event)?;
    tx.flush().await?;
    Ok(id)
}

/// Why a test's transaction was rolled back.
#[derive(Debug, thiserror::Error)]
pub enum Abort {
    #[error("on purpose")]
    OnPurpose,
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Waits for a condition; panics if it is not true within a minute.
pub async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition().await {
        assert!(
            Instant::now() < deadline,
            "it did not come about that {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
