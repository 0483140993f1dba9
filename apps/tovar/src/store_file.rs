//! The store file: where a running store is. `up` writes it, every other command reads it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use backing::private;
use serde::{Deserialize, Serialize};

/// The default folder of a store.
pub const DEFAULT_DATA: &str = ".tovar";
const FILE: &str = "store.json";
const TARGETS: &str = "targets.json";

/// How to reach a running store. The file contains passwords, so only its owner may read it.
#[derive(Clone, Serialize, Deserialize)]
pub struct StoreFile {
    pub base_url: String,
    /// Empty if Kafka cannot be reached.
    pub kafka_brokers: String,
    pub kafka_prefix: String,
    /// By service, the address of its database for the owner, as which operators log in. Empty if
    /// the store can only be read.
    pub databases: BTreeMap<String, String>,
    /// By service, the address of its database for the role that only reads.
    pub readers: BTreeMap<String, String>,
    /// By process, the address of its health and metrics.
    pub ops: BTreeMap<String, String>,
    /// `None` if the store can only be read.
    pub manager: Option<Credentials>,
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
    /// Whether this is the default file.
    pub fn is_usual(&self) -> bool {
        self.store == Path::new(DEFAULT_DATA).join(FILE)
    }

    pub fn read(&self) -> anyhow::Result<StoreFile> {
        let text = fs::read_to_string(&self.store).with_context(|| {
            format!(
                "no store file at {}; start a store with `cargo tovar up`, or name its file with \
                 --store",
                self.store.display()
            )
        })?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is no store file of this version", self.store.display()))
    }
}

impl StoreFile {
    /// The first manager's log-in.
    pub fn manager(&self) -> anyhow::Result<&Credentials> {
        self.manager.as_ref().context(
            "the store file has no manager's log-in, as the store is only read; `cargo tovar \
             connect --write` has it",
        )
    }

    pub fn write(&self, data: &Path) -> anyhow::Result<PathBuf> {
        let path = data.join(FILE);
        private::write(&path, &serde_json::to_vec_pretty(self)?)?;
        Ok(path)
    }

    /// Writes the addresses at which a Prometheus scrapes the store's processes
    /// (`file_sd_configs`).
    pub fn write_targets(&self, data: &Path) -> anyhow::Result<PathBuf> {
        let path = data.join(TARGETS);
        let addresses: Vec<&str> = self
            .ops
            .values()
            .map(|url| url.trim_start_matches("http://"))
            .collect();
        let targets = serde_json::json!([{ "targets": addresses, "labels": { "job": "tovar" } }]);
        private::write(&path, &serde_json::to_vec_pretty(&targets)?)?;
        Ok(path)
    }

    /// Removes the files, so that a store that has ended does not look as if it ran.
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
