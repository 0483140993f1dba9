use std::{
    collections::BTreeMap,
    fs::{self, File, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use backing::{
    Kafka, KafkaOptions, Means, OfRoles, Postgres, PostgresOptions, Unprivileged, private,
};
use rand::{Rng, distr::Alphanumeric};
use serde::{Deserialize, Serialize};

use super::{show, supervise::Pauses};
use crate::services::SERVICES;

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
    /// Under which users encrypts the token keys.
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
            token_keys: secret(),
            manager_email: "manager@tovar.example".to_owned(),
            manager_password: secret(),
        }
    }

    /// Makes what a folder of an earlier version lacks; whether there was any such thing.
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

/// Who may write to the folder decides what the store reads at its next start, and what root gives
/// away or removes.
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

/// Only we enter it; and for root, the user whom the servers run as goes through it.
fn close(folder: &Path) -> anyhow::Result<()> {
    match Unprivileged::if_root()? {
        Some(user) => user.may_pass(folder),
        None => Ok(fs::set_permissions(folder, Permissions::from_mode(0o700))?),
    }
}

impl DataFolder {
    /// Makes the folder if there is none, and keeps it for this process; an error if another one
    /// has it.
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
            // Of a store alone, also if an earlier version made it.
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

    /// Makes it ready for a run, if `fresh` without what an earlier run left.
    pub fn prepare(&self, fresh: bool) -> anyhow::Result<()> {
        if fresh {
            show::step(&format!(
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

        // What is not a store's alone is left as it is, if no other user may write to it.
        fs::create_dir(&shared).unwrap();
        fs::set_permissions(&shared, Permissions::from_mode(0o1777)).unwrap();
        let refused = DataFolder::open(&shared).map(drop).unwrap_err().to_string();
        assert!(refused.contains("others may write"), "{refused}");
        fs::set_permissions(&shared, Permissions::from_mode(0o755)).unwrap();
        DataFolder::open(&shared).unwrap();
        assert_eq!(mode(&shared), 0o755);
    }
}
