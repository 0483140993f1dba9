use std::{
    collections::BTreeMap,
    fs::{self, File, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use backing::{
    Kafka, KafkaOptions, PerRole, Postgres, PostgresOptions, ServerKind, Unprivileged, private,
};
use rand::{Rng, distr::Alphanumeric};
use serde::{Deserialize, Serialize};

use super::{backoff::RestartBackoff, console};
use crate::services::SERVICES;

/// The folder that keeps a store's data between runs. While it is open no other process can open
/// it.
pub struct DataFolder {
    pub path: PathBuf,
    _lock: nix::fcntl::Flock<File>,
}

/// The secrets that a store keeps, so that its next start can use the same data.
#[derive(Serialize, Deserialize)]
pub struct Secrets {
    pub postgres_password: String,
    /// Passwords of the databases' owners, by service.
    pub databases: BTreeMap<String, String>,
    /// Passwords of the roles of services, of relays, and of commands that only read, by service.
    #[serde(default)]
    pub services: BTreeMap<String, String>,
    #[serde(default)]
    pub relays: BTreeMap<String, String>,
    #[serde(default)]
    pub readers: BTreeMap<String, String>,
    /// By service.
    pub idempotency: BTreeMap<String, String>,
    /// The secret with which the service users encrypts the token keys.
    #[serde(default)]
    pub token_keys: String,
    pub manager_email: String,
    pub manager_password: String,
}

/// The running PostgreSQL and Kafka of a store.
pub struct Servers {
    pub postgres: Postgres,
    pub kafka: Kafka,
}

/// Addresses of the services' databases for each of their roles, by service.
pub type Addresses = BTreeMap<&'static str, PerRole<String>>;

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
            token_keys: secret(),
            manager_email: "manager@tovar.example".to_owned(),
            manager_password: secret(),
        }
    }

    /// Generates the secrets that a folder of an earlier version lacks; returns whether there were
    /// any.
    fn complete(&mut self) -> bool {
        let new = Self::generate();
        let mut lacked = self.token_keys.is_empty();
        if lacked {
            self.token_keys = new.token_keys;
        }
        for (ours, new) in [
            (&mut self.services, new.services),
            (&mut self.relays, new.relays),
            (&mut self.readers, new.readers),
        ] {
            if ours.is_empty() {
                *ours = new;
                lacked = true;
            }
        }
        lacked
    }
}

/// Refuses a folder to which other users may write: they could decide what the store reads at its
/// next start, and what root changes or removes.
fn check_owner(folder: &Path) -> anyhow::Result<()> {
    let found = fs::metadata(folder)?;
    let is_ours =
        found.uid() == nix::unistd::geteuid().as_raw() && found.permissions().mode() & 0o002 == 0;
    if !is_ours {
        bail!(
            "others may write to {}; name a folder of your own with --data",
            folder.display()
        );
    }
    Ok(())
}

/// Closes a folder to other users. For root, the user that the servers run as may pass through it.
fn close(folder: &Path) -> anyhow::Result<()> {
    match Unprivileged::if_root()? {
        Some(user) => user.may_pass(folder),
        None => Ok(fs::set_permissions(folder, Permissions::from_mode(0o700))?),
    }
}

impl DataFolder {
    /// Creates the folder if there is none, and locks it; an error if another process has the lock.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let unusable = || {
            format!(
                "the data folder {} cannot be used; name another one with --data",
                path.display()
            )
        };
        let is_new = !path.exists();
        private::folder(path)?;
        let path = path.canonicalize().with_context(unusable)?;
        let lock = path.join("lock");
        if is_new || lock.exists() {
            // The folder contains only a store, also one of an earlier version.
            close(&path).with_context(unusable)?;
        }
        check_owner(&path)?;
        let lock = private::open(&lock).with_context(unusable)?;
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

    /// Prepares the folder for a run. If `fresh`, removes the data of earlier runs.
    pub fn prepare(&self, fresh: bool) -> anyhow::Result<()> {
        if fresh {
            console::step(&format!(
                "throwing away what was in {}",
                self.path.display()
            ));
            self.clear()?;
        }
        let logs = self.logs();
        private::folder(&logs)?;
        fs::set_permissions(&logs, Permissions::from_mode(0o700))?;
        Ok(())
    }

    fn clear(&self) -> anyhow::Result<()> {
        for part in ["postgres", "kafka", "logs"] {
            let path = self.path.join(part);
            backing::forget_data(&path)
                .with_context(|| format!("cannot remove {}", path.display()))?;
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
            let text =
                fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let mut secrets: Secrets = serde_json::from_slice(&text).with_context(|| {
                format!("{} is broken; start anew with --fresh", path.display())
            })?;
            if secrets.complete() {
                private::write(&path, &serde_json::to_vec_pretty(&secrets)?)?;
            }
            return Ok(secrets);
        }
        let secrets = Secrets::generate();
        private::write(&path, &serde_json::to_vec_pretty(&secrets)?)?;
        Ok(secrets)
    }

    pub async fn start_servers(&self, kind: ServerKind) -> anyhow::Result<Servers> {
        let progress = |text: &str| console::step(text);
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
            Postgres::start(kind, postgres, &progress),
            Kafka::start(kind, kafka, &progress),
        )?;
        Ok(Servers { postgres, kafka })
    }
}

impl Servers {
    /// Creates a database for each service, with roles that can reach no other database.
    pub async fn provision(&self, secrets: &Secrets) -> anyhow::Result<Addresses> {
        let mut addresses = Addresses::default();
        for service in SERVICES {
            let name = service.name;
            let passwords = PerRole {
                owner: secrets.databases[name].clone(),
                service: secrets.services[name].clone(),
                relay: secrets.relays[name].clone(),
                reader: secrets.readers[name].clone(),
            };
            addresses.insert(name, self.postgres.provision(name, &passwords).await?);
        }
        Ok(addresses)
    }

    /// Starts a server again that ends by itself, for as long as this is awaited.
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

/// A server that may end by itself and can be started again.
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

/// Between two looks whether a server has ended.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

async fn keep(server: &mut impl Server, name: &str) {
    let mut backoff = RestartBackoff::default();
    loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        // An error means that the Docker engine does not answer, which says nothing about its
        // containers.
        if !matches!(server.has_ended().await, Ok(true)) {
            continue;
        }
        let delay = backoff.next_delay();
        console::warn(&format!(
            "{name} ended; starting it again in {} ms",
            delay.as_millis()
        ));
        tokio::time::sleep(delay).await;
        match server.start_again().await {
            Ok(()) => console::step(&format!("{name} is back")),
            Err(error) => console::warn(&format!("{error:#}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_store_s_folder_is_closed_to_others_also_one_of_an_earlier_version() {
        let home = tempfile::tempdir().unwrap();
        let (new, old, shared) = (
            home.path().join("new"),
            home.path().join("old"),
            home.path().join("shared"),
        );
        fs::create_dir_all(old.join("logs")).unwrap();
        fs::write(old.join("lock"), "").unwrap();
        for folder in [&old, &old.join("logs")] {
            fs::set_permissions(folder, Permissions::from_mode(0o775)).unwrap();
        }
        for path in [&new, &old] {
            let folder = DataFolder::open(path).unwrap();
            folder.prepare(false).unwrap();
            folder.secrets().unwrap();
            assert_eq!(mode(path) & 0o067, 0, "{}", path.display());
            assert_eq!(mode(&path.join("logs")), 0o700);
            assert_eq!(mode(&path.join("secrets.json")), 0o600);
        }

        // A folder that contains not only a store keeps its rights, if no other user may write to
        // it.
        fs::create_dir(&shared).unwrap();
        fs::set_permissions(&shared, Permissions::from_mode(0o1777)).unwrap();
        let refused = DataFolder::open(&shared).map(drop).unwrap_err().to_string();
        assert!(refused.contains("others may write"), "{refused}");
        fs::set_permissions(&shared, Permissions::from_mode(0o755)).unwrap();
        DataFolder::open(&shared).unwrap();
        assert_eq!(mode(&shared), 0o755);
    }
}
