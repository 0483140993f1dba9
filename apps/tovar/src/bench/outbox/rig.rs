use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use backing::{Kafka, KafkaOptions, Means, Postgres, PostgresOptions};
use connect::KafkaSettings;
use db::DbSettings;
use tempfile::TempDir;
use tokio_postgres::Client;

use crate::database;

/// Topic of every run, without its prefix.
pub const TOPIC: &str = "bench.events";
/// As its producer calls itself.
pub const SOURCE: &str = "/tovar/bench.events";
pub const PARTITIONS: i32 = 12;

/// Settings beyond PostgreSQL's defaults. fsync and synchronous_commit are on by default and stay
/// so; `logical` is what Debezium needs, and all relays are measured on the same server.
const POSTGRES: &[(&str, &str)] = &[
    ("max_connections", "200"),
    ("shared_buffers", "1GB"),
    ("max_wal_size", "8GB"),
    ("wal_level", "logical"),
];

/// PostgreSQL and Kafka of the benchmark alone, as local processes: what they cost can be read of
/// the kernel.
pub struct Rig {
    postgres: Postgres,
    kafka: Kafka,
    runs: std::cell::Cell<u32>,
    data: TempDir,
}

/// A database and a topic of one run.
pub struct Run {
    pub name: String,
    /// For what a relay keeps in files; goes with the servers' data.
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
        // The servers run as a user of their own if we are root.
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
            Postgres::start(Means::Local, postgres, &say),
            Kafka::start(Means::Local, kafka, &say),
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

    /// A new database with an outbox and an inbox, and a new topic. Its messages carry the time at
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
                 CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer text NOT NULL, total bigint NOT NULL)"
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
    /// A further session in the run's database.
    pub async fn session(&self) -> anyhow::Result<Client> {
        database::open(&self.url).await
    }

    /// Has all written to the disk that was left for later: it would hold up what is measured next,
    /// and with commits the writers, who would come in bursts.
    pub async fn settle(&self) -> anyhow::Result<()> {
        self.client.batch_execute("CHECKPOINT").await?;
        let folder = fs::File::open(&self.folder)?;
        Ok(tokio::task::spawn_blocking(move || nix::unistd::syncfs(folder)).await??)
    }
}
