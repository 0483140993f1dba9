use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::rig::{Rig, Run, TOPIC};

/// Which relay is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Kind {
    /// This project's
    Tovar,
    /// Debezium's outbox event router, embedded, tuned
    Debezium,
    /// What most teams write: poll for unpublished rows under a lock, send, update
    Naive,
}

/// The columns that a writer sets.
pub const COLUMNS: &str = "id, topic, key, type, payload";

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Tovar => "tovar",
            Self::Debezium => "debezium",
            Self::Naive => "naive",
        }
    }

    /// The table that the relay reads. Debezium reads the outbox too, through the WAL.
    pub fn table(self) -> &'static str {
        match self {
            Self::Tovar | Self::Debezium => "outbox",
            Self::Naive => "naive_outbox",
        }
    }

    /// The statement by which a writer publishes; parameters: id, topic, key, type, payload. For
    /// this project's relay it is the function that services call. Peers get a plain insert.
    pub fn publish_sql(self) -> String {
        match self {
            Self::Tovar => format!(
                "SELECT outbox_publish_all(ARRAY[$1::uuid], ARRAY[$2::text], ARRAY[$3::text], \
                 ARRAY[$4::text], ARRAY[$5::text], \
                 ARRAY[NULL::text], {}, {})",
                db::lock_class::OUTBOX_SLEEP,
                db::lock_class::OUTBOX_KEY
            ),
            Self::Debezium | Self::Naive => {
                format!(
                    "INSERT INTO {} ({}) VALUES ($1, $2, $3, $4, $5)",
                    self.table(),
                    COLUMNS
                )
            }
        }
    }

    /// Creates what the relay needs in the database before the first event.
    pub async fn prepare(self, run: &Run) -> anyhow::Result<()> {
        let sql = match self {
            Self::Tovar => return Ok(()),
            Self::Naive => {
                "CREATE TABLE naive_outbox (
                   position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id uuid NOT NULL,
                   topic text NOT NULL, key text NOT NULL,
                   type text NOT NULL, payload text NOT NULL, recorded_at timestamptz NOT NULL
                   DEFAULT clock_timestamp(),
                   published_at timestamptz);
                 CREATE INDEX ON naive_outbox (position) WHERE published_at IS NULL"
            }
            Self::Debezium => {
                // The slots of earlier runs keep the WAL, and soon use up the slots that the server
                // allows.
                let left = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
                            WHERE NOT active";
                run.client.execute(left, &[]).await?;
                // A slot must be created in a transaction of its own.
                let slot = "SELECT pg_create_logical_replication_slot($1, 'pgoutput')";
                run.client.execute(slot, &[&run.name]).await?;
                "CREATE PUBLICATION bench FOR TABLE outbox WITH (publish = 'insert', \
                 publish_via_partition_root = true)"
            }
        };
        Ok(run.client.batch_execute(sql).await?)
    }

    /// A new run with the relay started, before the first event.
    pub async fn at_work(self, rig: &Rig) -> anyhow::Result<(Run, Relay)> {
        let run = rig.run().await?;
        self.prepare(&run).await?;
        run.settle().await?;
        let relay = self.start(&run).await?;
        Ok((run, relay))
    }

    /// Starts the relay in a process of its own.
    pub async fn start(self, run: &Run) -> anyhow::Result<Relay> {
        let mut command = match self {
            Self::Tovar => {
                let mut command = Command::new(beside_this("outbox-relay")?);
                command
                    .env("DATABASE_URL", &run.url)
                    .env("KAFKA_BROKERS", &run.kafka.kafka_brokers)
                    .env("KAFKA_PREFIX", &run.kafka.kafka_prefix)
                    .env("OPS_LISTEN", "127.0.0.1:0");
                command
            }
            Self::Naive => {
                let mut command = Command::new(std::env::current_exe()?);
                command
                    .args(["bench", "naive-relay"])
                    .args([&run.kafka.kafka_brokers, &run.kafka.kafka_prefix])
                    .env("DATABASE_URL", &run.url);
                command
            }
            Self::Debezium => super::debezium::command(run).await?,
        };
        command.stdin(Stdio::null()).stdout(Stdio::null());
        if std::env::var_os("BENCH_RELAY_LOG").is_none() {
            command.stderr(Stdio::null());
        }
        let child = command
            .spawn()
            .with_context(|| format!("{} cannot be started", self.name()))?;
        Ok(Relay { child, kind: self })
    }
}

/// The path of a program in the folder of this one.
fn beside_this(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    ensure!(
        path.exists(),
        "{} is missing; build it with: cargo build --release",
        path.display()
    );
    Ok(path)
}

/// A running relay, which is killed when this is dropped.
pub struct Relay {
    child: Child,
    kind: Kind,
}

impl Relay {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Stops its process (SIGSTOP) until it is resumed.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    pub fn resume(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill(Pid::from_raw(self.id().try_into()?), signal)?)
    }

    /// Fails if it has ended by itself.
    pub fn check(&mut self) -> anyhow::Result<()> {
        let ended = self.child.try_wait()?;
        ensure!(
            ended.is_none(),
            "{} has ended; BENCH_RELAY_LOG=1 shows what it says",
            self.kind.name()
        );
        Ok(())
    }

    /// Asks it to stop, and waits for its end.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.signal(Signal::SIGTERM)?;
        let asked = Instant::now();
        while self.child.try_wait()?.is_none() {
            if asked.elapsed() > Duration::from_secs(30) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The topic that events of this run are sent to.
pub fn full_topic(run: &Run) -> String {
    run.kafka.topic(TOPIC)
}
