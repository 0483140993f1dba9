//! The servers of a run, the proxies before them, and the relays and consumers under test.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use backing::{Kafka, KafkaOptions, Postgres, PostgresOptions, ServerKind, private};
use connect::KafkaSettings;
use db::DbSettings;
use kernel::Event;
use tokio::{
    net::TcpListener,
    time::{Instant, sleep},
};
use tokio_postgres::Client;

use super::{
    addresses::ServerAddresses,
    clock::{Clock, WrongClocks},
    consumer::{Noted, TABLES},
    disk::Disk,
    process::{Process, Role},
    proxy::Proxy,
};
use crate::database;

const NAME: &str = "prove";
/// Partitions of the topic: more than consumers, so that a rebalance moves some.
const PARTITIONS: i32 = 6;
const POSTGRES: &str = "postgres";
const KAFKA: &str = "kafka";
/// Between two looks at a relay or a table that the prover waits for.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The process id of the session of the leading relay.
const LEADER: &str =
    "SELECT coalesce(max(pid), 0)::bigint FROM pg_locks JOIN pg_database d ON d.oid = database
    WHERE d.datname = current_database() AND locktype = 'advisory' AND classid = $1::bigint::oid
    AND granted";

pub struct Rig {
    pub postgres: Postgres,
    pub kafka: Kafka,
    pub to_postgres: Proxy,
    pub to_kafka: Proxy,
    /// The proxies' addresses, which all processes use but the judge.
    pub addresses: ServerAddresses,
    pub relays: Vec<Process>,
    pub consumers: Vec<Process>,
    program: PathBuf,
    /// The log of relays and consumers.
    log: PathBuf,
    /// `None` without a C compiler.
    pub wrong_clocks: Option<WrongClocks>,
    pub disks: Option<Disks>,
}

/// The disks with the servers' data.
pub struct Disks {
    pub postgres: Disk,
    pub kafka: Disk,
}

impl Disks {
    fn below(data: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            postgres: Disk::at(&data.join(POSTGRES))?,
            kafka: Disk::at(&data.join(KAFKA))?,
        })
    }
}

impl Rig {
    pub async fn start(data: &Path, program: PathBuf) -> anyhow::Result<Self> {
        let disks = Disks::below(data).ok();
        let for_postgres = TcpListener::bind("127.0.0.1:0").await?;
        let for_kafka = TcpListener::bind("127.0.0.1:0").await?;
        let (postgres_port, kafka_port) = (
            for_postgres.local_addr()?.port(),
            for_kafka.local_addr()?.port(),
        );
        let postgres = PostgresOptions {
            data: Some(data.join(POSTGRES)),
            ..PostgresOptions::default()
        };
        // For an operator who looks into data that were kept after a violation.
        private::write(
            &data.join("superuser-password"),
            postgres.password.as_bytes(),
        )?;
        let kafka = KafkaOptions {
            data: Some(data.join(KAFKA)),
            proxy: Some(kafka_port),
            ..KafkaOptions::default()
        };
        let say = |line: &str| eprintln!("{line}");
        let (postgres, kafka) = tokio::try_join!(
            Postgres::start(ServerKind::Local, postgres, &say),
            Kafka::start(ServerKind::Local, kafka, &say),
        )?;
        let to_postgres = Proxy::start(for_postgres, format!("127.0.0.1:{}", postgres.port()));
        let behind_proxy = kafka.behind_proxy().context("Kafka expects no proxy")?;
        let to_kafka = Proxy::start(for_kafka, behind_proxy);
        let direct = postgres.create_database(NAME).await?;
        let addresses = ServerAddresses {
            url: direct.replace(
                &format!(":{}/", postgres.port()),
                &format!(":{postgres_port}/"),
            ),
            brokers: format!("127.0.0.1:{kafka_port}"),
            prefix: format!("{NAME}."),
        };
        db::migrate(
            &DbSettings::new(&direct),
            vec![outbox::MIGRATIONS, inbox::MIGRATIONS],
        )
        .await?;
        let client = database::open(&direct).await?;
        client.batch_execute(TABLES).await?;
        client
            .execute("INSERT INTO outbox_topics VALUES ($1)", &[&Noted::TOPIC])
            .await?;
        let topic = KafkaSettings::new("", &addresses.prefix).topic(Noted::TOPIC);
        kafka.create_topic(&topic, PARTITIONS, &[]).await?;
        let mut rig = Self {
            postgres,
            kafka,
            to_postgres,
            to_kafka,
            addresses,
            relays: Vec::new(),
            consumers: Vec::new(),
            program,
            log: data.join("processes.log"),
            wrong_clocks: WrongClocks::build(data).ok(),
            disks,
        };
        rig.restart_missing()?;
        Ok(rig)
    }

    /// A session that does not go through the proxy.
    pub async fn session(&self) -> anyhow::Result<Client> {
        database::open(&self.postgres.url(NAME)).await
    }

    pub fn disks(&self) -> anyhow::Result<&Disks> {
        self.disks.as_ref().context("there is no disk to fill")
    }

    pub fn start_one(&self, role: Role) -> anyhow::Result<Process> {
        self.start_at(role, Clock::Right)
    }

    pub fn start_at(&self, role: Role, clock: Clock) -> anyhow::Result<Process> {
        let clocks = self.wrong_clocks.as_ref();
        let environment = clocks
            .map(|clocks| clocks.environment(clock))
            .unwrap_or_default();
        Process::start(&self.program, role, &self.addresses, environment, &self.log)
    }

    /// Starts processes that are missing, as a supervisor does: a relay and two consumers must run.
    pub fn restart_missing(&mut self) -> anyhow::Result<()> {
        for (role, wanted) in [(Role::Relay, 1), (Role::Consumer, 2)] {
            let missing = {
                let processes = self.of(role);
                processes.retain_mut(|process| !process.has_ended());
                wanted.max(processes.len()) - processes.len()
            };
            for _ in 0..missing {
                let process = self.start_one(role)?;
                self.of(role).push(process);
            }
        }
        Ok(())
    }

    fn of(&mut self, role: Role) -> &mut Vec<Process> {
        match role {
            Role::Relay => &mut self.relays,
            Role::Consumer => &mut self.consumers,
        }
    }

    /// Waits until a relay leads whose session is not `other`; returns the process id of its
    /// session.
    pub async fn leader(&self, other: i64, within: Duration) -> anyhow::Result<i64> {
        let client = self.session().await?;
        let deadline = Instant::now() + within;
        loop {
            let row = client
                .query_one(LEADER, &[&i64::from(db::lock_class::OUTBOX_RELAY)])
                .await?;
            match row.get(0) {
                leader if leader != 0 && leader != other => return Ok(leader),
                _ if Instant::now() > deadline => {
                    bail!("no relay leads within {} s", within.as_secs())
                }
                _ => sleep(POLL_INTERVAL).await,
            }
        }
    }

    /// Waits until another event is applied.
    pub async fn wait_for_progress(&self, within: Duration) -> anyhow::Result<()> {
        let client = self.session().await?;
        let deadline = Instant::now() + within;
        let mut known = None;
        loop {
            let row = client
                .query_one("SELECT max(seq) FROM applied", &[])
                .await?;
            let last: Option<i64> = row.get(0);
            match known {
                None => known = Some(last),
                Some(known) if known < last => return Ok(()),
                Some(_) if Instant::now() > deadline => {
                    bail!("nothing is applied within {} s", within.as_secs())
                }
                Some(_) => {}
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Stops everything. With `keep` the data stay, also those on disks in memory.
    pub async fn stop(mut self, keep: bool) -> anyhow::Result<()> {
        self.relays.clear();
        self.consumers.clear();
        let (postgres, kafka) = tokio::join!(self.postgres.stop(), self.kafka.stop());
        if let (Some(disks), true) = (&self.disks, keep) {
            disks.postgres.keep()?;
            disks.kafka.keep()?;
        }
        postgres.and(kafka)
    }
}
