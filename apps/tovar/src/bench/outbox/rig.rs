use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use backing::{Kafka, KafkaOptions, Postgres, PostgresOptions, ServerKind};
use connect::KafkaSettings;
use db::DbSettings;
use tempfile::TempDir;
use tokio_postgres::Client;

use crate::database;

/// Topic of every run, without its prefix.
pub const TOPIC: &str = "bench.events";
/// The source of every event (`ce_source`).
pub const SOURCE: &str = "/tovar/bench.events";
/// Partitions of a topic unless a part chooses another number.
pub const PARTITIONS: i32 = 12;

/// Settings that differ from PostgreSQL's defaults. fsync and synchronous_commit stay on, as by
/// default. Debezium needs `logical`, and all relays are measured on the same server.
const POSTGRES: &[(&str, &str)] = &[
    ("max_connections", "200"),
    ("shared_buffers", "1GB"),
    ("max_wal_size", "8GB"),
    ("wal_level", "logical"),
];

/// PostgreSQL and Kafka for the benchmark alone, as local processes, so that their CPU and memory
/// can be read from the kernel.
pub struct Rig {
    postgres: Postgres,
    kafka: Kafka,
    runs: std::cell::Cell<u32>,
    data: TempDir,
}

/// The database and the topic of one run.
pub struct Run {
    pub name: String,
    /// Folder for a relay's files; it is removed with the servers' data.
    pub folder: PathBuf,
    pub partitions: i32,
    pub url: String,
    pub client: Client,
    pub kafka: KafkaSettings,
}

impl Rig {
    pub async fn start(data: Option<&Path>) -> anyhow::Result<Self> {
        let made = match data {
            Some(folder) => tempfile::tempdir_in(folder),
            None => tempfile::tempdir(),
        };
        let data = made.context("no folder can be made for the servers; name one with --data")?;
        // If this process is root, the servers run as another user.
        fs::set_permissions(data.path(), fs::Permissions::from_mode(0o711))?;
        let postgres = PostgresOptions {
            settings: POSTGRES.to_vec(),
            data: Some(data.path().join("postgres")),
            ..PostgresOptions::default()
        };
        let kafka = KafkaOptions {
            heap: 1024,
            data: Some(data.path().join("kafka")),
            ..KafkaOptions::default()
        };
        let say = |line: &str| eprintln!("{line}");
        let (postgres, kafka) = tokio::try_join!(
            Postgres::start(ServerKind::Local, postgres, &say),
            Kafka::start(ServerKind::Local, kafka, &say),
        )?;
        Ok(Self {
            postgres,
            kafka,
            runs: std::cell::Cell::new(0),
            data,
        })
    }

    pub fn describe(&self) -> String {
        let settings: Vec<String> = POSTGRES
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        format!(
            "{} with {}; {} with 1 GB of heap",
            self.postgres.describe(),
            settings.join(", "),
            self.kafka.describe()
        )
    }

    /// Creates a database with an outbox and an inbox, and a topic whose messages carry the time at
    /// which the broker wrote them.
    pub async fn run(&self) -> anyhow::Result<Run> {
        self.run_with(PARTITIONS).await
    }

    /// The same with another number of partitions.
    pub async fn run_with(&self, partitions: i32) -> anyhow::Result<Run> {
        self.runs.set(self.runs.get() + 1);
        let name = format!("bench{}", self.runs.get());
        let folder = self.data.path().join(&name);
        fs::create_dir(&folder)?;
        let url = self.postgres.create_database(&name).await?;
        db::migrate(
            &DbSettings::new(&url),
            vec![outbox::MIGRATIONS, inbox::MIGRATIONS],
        )
        .await?;
        let client = database::open(&url).await?;
        client
            .batch_execute(&format!(
                "INSERT INTO outbox_topics VALUES ('{TOPIC}');
                 CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                 customer text NOT NULL, total bigint NOT NULL)"
            ))
            .await?;
        let kafka = KafkaSettings::new(self.kafka.bootstrap(), format!("{name}."));
        let settings = [("message.timestamp.type", "LogAppendTime")];
        self.kafka
            .create_topic(&kafka.topic(TOPIC), partitions, &settings)
            .await?;
        Ok(Run {
            name,
            folder,
            partitions,
            url,
            client,
            kafka,
        })
    }

    pub async fn stop(self) -> anyhow::Result<()> {
        let (postgres, kafka) = tokio::join!(self.postgres.stop(), self.kafka.stop());
        postgres.and(kafka)
    }
}

impl Run {
    /// Opens another session in the run's database.
    pub async fn session(&self) -> anyhow::Result<Client> {
        database::open(&self.url).await
    }

    /// Writes all pending data to the disk. Otherwise these writes slow down the next measurement,
    /// and delay commits so that writers come in bursts.
    pub async fn settle(&self) -> anyhow::Result<()> {
        self.client.batch_execute("CHECKPOINT").await?;
        let folder = fs::File::open(&self.folder)?;
        Ok(tokio::task::spawn_blocking(move || nix::unistd::syncfs(folder)).await??)
    }
}
