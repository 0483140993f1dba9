//! The store file: where a running store is. `up` writes it, every other command reads it.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// The folder of a store that was not told another one.
pub const DEFAULT_DATA: &str = ".tovar";
const FILE: &str = "store.json";
const TARGETS: &str = "targets.json";

/// Where a running store is. It holds passwords, so only its owner may read the file.
#[derive(Clone, Serialize, Deserialize)]
pub struct StoreFile {
    pub base_url: String,
    pub kafka_brokers: String,
    pub kafka_prefix: String,
    /// By service, for the database's owner, as whom operators act.
    pub databases: BTreeMap<String, String>,
    /// The same databases by service, for a role that only looks.
    pub readers: BTreeMap<String, String>,
    /// Health and metrics, by process.
    pub ops: BTreeMap<String, String>,
    pub manager: Credentials,
    /// The process that runs the store.
    pub pid: u32,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Credentials {
    pub email: String,
    pub password: String,
}

#[derive(Clone, Debug, clap::Args)]
pub struct StoreArgs {
    /// The store file that `cargo tovar up` wrote
    #[arg(
        long,
        env = "TOVAR_STORE",
        value_name = "FILE",
        default_value = ".tovar/store.json"
    )]
    pub store: PathBuf,
}

impl StoreArgs {
    /// Whether nobody named another file than the usual one.
    pub fn is_usual(&self) -> bool {
        self.store == Path::new(DEFAULT_DATA).join(FILE)
    }

    pub fn read(&self) -> anyhow::Result<StoreFile> {
        let text = fs::read_to_string(&self.store).with_context(|| {
            format!(
                "no store file at {}; start a store with `cargo tovar up`, or name its file with --store",
                self.store.display()
            )
        })?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is no store file of this version", self.store.display()))
    }
}

impl StoreFile {
    pub fn write(&self, data: &Path) -> anyhow::Result<PathBuf> {
        let path = data.join(FILE);
        write_private(&path, &serde_json::to_vec_pretty(self)?)?;
        Ok(path)
    }

    /// Where a Prometheus finds every process of the store (`file_sd_configs`).
    pub fn write_targets(&self, data: &Path) -> anyhow::Result<PathBuf> {
        let path = data.join(TARGETS);
        let addresses: Vec<&str> = self
            .ops
            .values()
            .map(|url| url.trim_start_matches("http://"))
            .collect();
        let targets = serde_json::json!([{ "targets": addresses, "labels": { "job": "tovar" } }]);
        fs::write(&path, serde_json::to_vec_pretty(&targets)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// A store that has ended must not look as if it ran.
    pub fn remove(data: &Path) {
        for file in [FILE, TARGETS] {
            if let Err(error) = fs::remove_file(data.join(file))
                && error.kind() != std::io::ErrorKind::NotFound
            {
                eprintln!("{file} cannot be removed: {error}");
            }
        }
    }
}

/// Writes a file that only its owner may read, whole or not at all.
pub fn write_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let draft = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&draft, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
