use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use backing::{Kafka, KafkaOptions, Means, OfRoles, Postgres, PostgresOptions};
use rand::{Rng, distr::Alphanumeric};
use serde::{Deserialize, Serialize};

use super::{show, supervise::Pauses};
use crate::{services::SERVICES, store_file::write_private};

/// The folder that keeps a store between runs. While it is open nobody else can open it.
pub struct DataFolder {
    pub path: PathBuf,
    _lock: nix::fcntl::Flock<File>,
}

/// What a store must remember so that its next start goes on with the same data.
#[derive(Serialize, Deserialize)]
pub struct Secrets {
    pub postgres_password: String,
    /// Passwords of the databases' owners, by service.
    pub databases: BTreeMap<String, String>,
    /// Passwords of the roles of services, of relays, and of who only reads, by service.
    #[serde(default)]
    pub services: BTreeMap<String, String>,
    #[serde(default)]
    pub relays: BTreeMap<String, String>,
    #[serde(default)]
    pub readers: BTreeMap<String, String>,
    /// By service.
    pub idempotency: BTreeMap<String, String>,
    pub manager_email: String,
    pub manager_password: String,
}

/// The running PostgreSQL and Kafka of a store.
pub struct Servers {
    pub postgres: Postgres,
    pub kafka: Kafka,
}

/// Addresses of the services' databases for each of their roles, by service.
pub type Addresses = BTreeMap<&'static str, OfRoles<String>>;

fn secret() -> String {
    rand::rng()
        .sample_iter(Alphanumeric)
        .take(24)
        .map(char::from)
        .collect()
}

impl Secrets {
    fn generate() -> Self {
        let for_each = || {
            SERVICES
                .iter()
                .map(|service| (service.name.to_owned(), secret()))
                .collect()
        };
        Self {
            postgres_password: secret(),
            databases: for_each(),
            services: for_each(),
            relays: for_each(),
            readers: for_each(),
            idempotency: for_each(),
            manager_email: "manager@tovar.example".to_owned(),
            manager_password: secret(),
        }
    }
}

impl DataFolder {
    /// Makes the folder if there is none, and keeps it for this process; an error if another one has it.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let unusable = || {
            format!(
                "the data folder {} cannot be used; name another one with --data",
                path.display()
            )
        };
        fs::create_dir_all(path).with_context(unusable)?;
        let path = path.canonicalize().with_context(unusable)?;
        let lock = File::create(path.join("lock")).with_context(unusable)?;
        let exclusive = nix::fcntl::FlockArg::LockExclusiveNonblock;
        let Ok(lock) = nix::fcntl::Flock::lock(lock, exclusive) else {
            bail!(
                "a store runs in {} already; stop it, or name another folder with --data",
                path.display()
            )
        };
        Ok(Self { path, _lock: lock })
    }

    pub fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// Makes it ready for a run, if `fresh` without what an earlier run left.
    pub fn prepare(&self, fresh: bool) -> anyhow::Result<()> {
        if fresh {
            show::step(&format!("throwing away what was in {}", self.path.display()));
            self.clear()?;
        }
        let logs = self.logs();
        fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))
    }

    fn clear(&self) -> anyhow::Result<()> {
        for part in ["postgres", "kafka", "logs"] {
            let path = self.path.join(part);
            backing::forget_data(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        for file in ["secrets.json", "store.json"] {
            if let Err(error) = fs::remove_file(self.path.join(file))
                && error.kind() != std::io::ErrorKind::NotFound
            {
                return Err(error).with_context(|| format!("cannot remove {file}"));
            }
        }
        Ok(())
    }

    /// The secrets of the last run, or new ones.
    pub fn secrets(&self) -> anyhow::Result<Secrets> {
        let path = self.path.join("secrets.json");
        if path.exists() {
            let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let mut secrets: Secrets = serde_json::from_slice(&text)
                .with_context(|| format!("{} is broken; start anew with --fresh", path.display()))?;
            if secrets.readers.is_empty() || secrets.services.is_empty() || secrets.relays.is_empty() {
                // An earlier version's folder.
                let new = Secrets::generate();
                (secrets.services, secrets.relays, secrets.readers) = (new.services, new.relays, new.readers);
                write_private(&path, &serde_json::to_vec_pretty(&secrets)?)?;
            }
            return Ok(secrets);
        }
        let secrets = Secrets::generate();
        write_private(&path, &serde_json::to_vec_pretty(&secrets)?)?;
        Ok(secrets)
    }

    pub async fn start_servers(&self, means: Means) -> anyhow::Result<Servers> {
        let progress = |text: &str| show::step(text);
        let secrets = self.secrets()?;
        let postgres = PostgresOptions {
            data: Some(self.path.join("postgres")),
            password: secrets.postgres_password,
            ..PostgresOptions::default()
        };
        let kafka = KafkaOptions {
            data: Some(self.path.join("kafka")),
            ..KafkaOptions::default()
        };
        let (postgres, kafka) = tokio::try_join!(
            Postgres::start(means, postgres, &progress),
            Kafka::start(means, kafka, &progress),
        )?;
        Ok(Servers { postgres, kafka })
    }
}

impl Servers {
    /// A database for each service, with its roles, which can reach no other.
    pub async fn provision(&self, secrets: &Secrets) -> anyhow::Result<Addresses> {
        let mut addresses = Addresses::default();
        for service in SERVICES {
            let name = service.name;
            let passwords = OfRoles {
                owner: secrets.databases[name].clone(),
                service: secrets.services[name].clone(),
                relay: secrets.relays[name].clone(),
                reader: secrets.readers[name].clone(),
            };
            addresses.insert(name, self.postgres.provision(name, &passwords).await?);
        }
        Ok(addresses)
    }

    /// Starts again whichever of them ends by itself, for as long as it is awaited.
    pub async fn keep(&mut self) {
        tokio::join!(
            keep(&mut self.postgres, "PostgreSQL"),
            keep(&mut self.kafka, "Kafka")
        );
    }

    pub async fn stop(self) -> anyhow::Result<()> {
        self.kafka.stop().await?;
        self.postgres.stop().await
    }
}

/// What may end by itself, and can be started again.
trait Server {
    async fn has_ended(&mut self) -> anyhow::Result<bool>;
    async fn start_again(&mut self) -> anyhow::Result<()>;
}

impl Server for Postgres {
    async fn has_ended(&mut self) -> anyhow::Result<bool> {
        Postgres::has_ended(self).await
    }

    async fn start_again(&mut self) -> anyhow::Result<()> {
        Postgres::start_again(self).await
    }
}

impl Server for Kafka {
    async fn has_ended(&mut self) -> anyhow::Result<bool> {
        Kafka::has_ended(self).await
    }

    async fn start_again(&mut self) -> anyhow::Result<()> {
        Kafka::start_again(self).await
    }
}

const LOOK_EVERY: Duration = Duration::from_secs(1);

async fn keep(server: &mut impl Server, name: &str) {
    let mut pauses = Pauses::default();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // An engine that does not answer at the moment says nothing of its containers.
        if !matches!(server.has_ended().await, Ok(true)) {
            continue;
        }
        let pause = pauses.next();
        show::warn(&format!(
            "{name} ended; starting it again in {} ms",
            pause.as_millis()
        ));
        tokio::time::sleep(pause).await;
        match server.start_again().await {
            Ok(()) => show::step(&format!("{name} is back")),
            Err(error) => show::warn(&format!("{error:#}")),
        }
    }
}
