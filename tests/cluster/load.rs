use std::{
    fs::{self, File},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::timeout,
};
use tovar::{cargo, client::wait_for, store_file::StoreFile};

/// Enough that something is always under way: it is about what survives, not about how much a small
/// node can do.
const PEOPLE: &str = "8";
/// Longer than any step takes; it is ended before.
const SECONDS: &str = "3600";
/// How long until orders are accepted. The first time, Locust is installed.
const UNDER_WAY_WITHIN: Duration = Duration::from_secs(300);
/// How long the orders under way at the end, and the comparison, may take.
const ENDED_WITHIN: Duration = Duration::from_secs(600);

/// `cargo tovar load`: people of Locust who use the store while something is done to it.
pub struct Load {
    process: Child,
    folder: TempDir,
}

impl Load {
    /// When orders are accepted.
    pub async fn start(store: &StoreFile) -> anyhow::Result<Self> {
        let manager = store.manager()?;
        let folder = tempfile::tempdir()?;
        let progress = File::create(folder.path().join("progress.log"))?;
        let process = Command::from(cargo::command())
            .args([
                "run",
                "--quiet",
                "--package",
                "tovar",
                "--",
                "load",
                "--no-prometheus",
            ])
            .args(["--users", PEOPLE, "--time", SECONDS])
            .args(["--url", &store.base_url])
            .env("TOVAR_MANAGER_EMAIL", &manager.email)
            .env("TOVAR_MANAGER_PASSWORD", &manager.password)
            .arg("--report")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(progress)
            .spawn()
            .context("cargo cannot be run")?;
        let mut load = Self { process, folder };
        wait_for("orders to be accepted", UNDER_WAY_WITHIN, async || {
            if load.process.try_wait()?.is_some() {
                bail!("the load has ended: {}", load.last_words());
            }
            Ok(load.accepted()? >= 5)
        })
        .await?;
        Ok(load)
    }

    /// Ends it. Everything that was answered must have happened once, and every order have come to
    /// its end.
    pub async fn stop(mut self, what: &str) -> anyhow::Result<Value> {
        self.interrupt();
        let status = timeout(ENDED_WITHIN, self.process.wait())
            .await
            .context("the load does not end")??;
        let report = fs::read_to_string(self.folder.path().join("report.json"));
        let report =
            report.with_context(|| format!("the load has failed: {}", self.last_words()))?;
        let report: Value = serde_json::from_str(&report)?;
        let reconciled = &report["reconciliation"];
        eprintln!(
            "         {what}, {} s: {}\n           answers {}\n           orders {}\n           {}",
            report["lasted_seconds"],
            report["outcome"],
            report["sources"]["locust"]["by_class"],
            reconciled["orders"],
            reconciled["mishaps"]
        );
        ensure!(status.success(), "{:#}", reconciled["differences"]);
        Ok(report)
    }

    /// How many orders were accepted up to now.
    fn accepted(&self) -> anyhow::Result<u64> {
        let record =
            fs::read_to_string(self.folder.path().join("record.jsonl")).unwrap_or_default();
        let mut seconds = record.lines().filter(|line| line.contains("accepted"));
        let Some(last) = seconds.next_back() else {
            return Ok(0);
        };
        Ok(serde_json::from_str::<Value>(last)?["accepted"]
            .as_u64()
            .unwrap_or_default())
    }

    fn last_words(&self) -> String {
        let said = fs::read_to_string(self.folder.path().join("progress.log")).unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        lines[lines.len().saturating_sub(100)..].join("\n")
    }

    /// Ends the load like Ctrl-C, and has it compared with the store.
    fn interrupt(&self) {
        let id = self.process.id().and_then(|id| i32::try_from(id).ok());
        // If it has just ended there is no process left to signal.
        let _ = id.map(|id| kill(Pid::from_raw(id), Signal::SIGINT));
    }
}

impl Drop for Load {
    /// A step that failed leaves no process behind: they end by themselves.
    fn drop(&mut self) {
        self.interrupt();
    }
}
