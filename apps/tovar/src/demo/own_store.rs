use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt, process::Stdio, time::Duration};

use anyhow::{Context, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    task::JoinHandle,
};

use crate::store_file::{StoreArgs, StoreFile};

/// The orders' deadline: short, as the demo waits for one to pass.
const DEADLINE_SECONDS: &str = "4";
/// The first build takes minutes.
const READY_TIMEOUT: Duration = Duration::from_secs(1800);
/// Bounds the stop of the store: longer than its processes may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(90);

/// A store for the demo alone: `up` in a temporary folder. It ends with this process, also if that
/// is killed.
pub struct OwnStore {
    pub file: StoreFile,
    up: Child,
    output: JoinHandle<()>,
    _stdin: Option<ChildStdin>,
    _data: tempfile::TempDir,
}

impl OwnStore {
    pub async fn start() -> anyhow::Result<Self> {
        let data = tempfile::tempdir().context("no folder for a store")?;
        // If this process is root, the servers run as another user.
        fs::set_permissions(data.path(), fs::Permissions::from_mode(0o711))?;
        let folder = data.path().join("store");
        // The port is free now; `up` reports it if another program takes it first.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        println!("Starting a store of the demo's own.");
        let mut up = Command::new(std::env::current_exe().context("where this program lies")?)
            .args(["up", "--port", &port.to_string(), "--data"])
            .arg(&folder)
            .env("DEADLINE_BEFORE_SHIPMENT", DEADLINE_SECONDS)
            .env("STOP_AT_EOF", "true")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A terminal's Ctrl-C must reach only this process.
            .process_group(0)
            .spawn()
            .context("the store cannot be started")?;
        let stdin = up.stdin.take();
        let output = up.stdout.take().context("a store without output")?;
        let ready = tokio::time::timeout(READY_TIMEOUT, until_ready(output));
        let output = ready.await.context("the store did not get ready")??;
        let file = StoreArgs {
            store: folder.join("store.json"),
        };
        println!();
        Ok(Self {
            file: file.read()?,
            up,
            output,
            _stdin: stdin,
            _data: data,
        })
    }

    pub async fn stop(mut self) -> anyhow::Result<()> {
        println!("Stopping the store of the demo's own.");
        if let Some(pid) = self.up.id().and_then(|pid| i32::try_from(pid).ok()) {
            kill(Pid::from_raw(pid), Signal::SIGTERM).context("the store cannot be stopped")?;
        }
        let ended = tokio::time::timeout(STOP_TIMEOUT, self.up.wait()).await;
        let ended = ended.context("the store did not stop")??;
        self.output.await?;
        if !ended.success() {
            bail!("the store did not end in good order: {ended}");
        }
        Ok(())
    }
}

/// Prints what the store prints until it is ready; a task discards the rest.
async fn until_ready(output: ChildStdout) -> anyhow::Result<JoinHandle<()>> {
    let mut lines = BufReader::new(output).lines();
    while let Some(line) = lines.next_line().await? {
        if line.starts_with("ready ") {
            return Ok(tokio::spawn(async move {
                while let Ok(Some(_)) = lines.next_line().await {}
            }));
        }
        if line.starts_with('→') {
            println!("{line}");
        }
    }
    bail!("the store ended before it was ready; see above")
}
