use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::Context;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    process::{Child, ChildStdin, Command},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{
    process::{Process, Role},
    show,
};
use crate::client::wait_for;

/// Runs processes, and starts those again that die, with growing pauses.
pub struct Supervisor {
    binaries: PathBuf,
    logs: PathBuf,
    kept: Vec<Kept>,
}

struct Kept {
    process: Process,
    stop: CancellationToken,
    keeper: JoinHandle<()>,
}

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// What ran this long was healthy: its next pause is the first one again.
const HEALTHY: Duration = Duration::from_secs(30);
/// Longer than the processes' own grace periods.
const GRACE: Duration = Duration::from_secs(40);

/// How long to wait before something that ended is started again: twice as long each time.
pub struct Pauses {
    next: Duration,
    /// When it was started the last time.
    started: Instant,
}

impl Default for Pauses {
    fn default() -> Self {
        Self {
            next: FIRST_PAUSE,
            started: Instant::now(),
        }
    }
}

impl Pauses {
    pub fn next(&mut self) -> Duration {
        if self.started.elapsed() > HEALTHY {
            self.next = FIRST_PAUSE;
        }
        let pause = self.next;
        self.started = Instant::now() + pause;
        self.next = (pause * 2).min(LONGEST_PAUSE);
        pause
    }
}

impl Supervisor {
    pub fn new(binaries: &Path, logs: &Path) -> Self {
        Self {
            binaries: binaries.to_owned(),
            logs: logs.to_owned(),
            kept: Vec::new(),
        }
    }

    /// Starts processes, and keeps them running from now on.
    pub fn start<'p>(&mut self, processes: impl IntoIterator<Item = &'p Process>) -> anyhow::Result<()> {
        for process in processes {
            let program = self.binaries.join(process.program());
            let log = self.logs.join(format!("{}.log", process.name()));
            let child = spawn(&program, process, &log)?;
            let stop = CancellationToken::new();
            let keeper = tokio::spawn(keep(program, process.clone(), log, child, stop.clone()));
            self.kept.push(Kept {
                process: process.clone(),
                stop,
                keeper,
            });
        }
        Ok(())
    }

    /// Waits until the process says that it is ready.
    pub async fn until_ready(&self, process: &Process, within: Duration) -> anyhow::Result<()> {
        let url = format!("{}/health/ready", process.ops_url());
        let http = reqwest::Client::new();
        let what = format!("{process:?} to be ready");
        let waited = wait_for(&what, within, async || {
            Ok(http.get(&url).send().await?.status().is_success())
        });
        waited
            .await
            .with_context(|| last_words(&self.logs.join(format!("{}.log", process.name()))))
    }

    /// Ends all of them: first who takes requests, then who consumes, then the relays, which still send what the
    /// services wrote last.
    pub async fn stop(self) {
        let order: [fn(&Role) -> bool; 3] = [
            |role| matches!(role, Role::Gateway),
            |role| matches!(role, Role::Service(_)),
            |role| matches!(role, Role::Relay(_)),
        ];
        let mut kept = self.kept;
        for is_next in order {
            let (now, later): (Vec<_>, Vec<_>) = kept.into_iter().partition(|one| is_next(&one.process.role));
            kept = later;
            for one in &now {
                one.stop.cancel();
            }
            for one in now {
                if let Err(error) = one.keeper.await {
                    show::warn(&format!(
                        "{:?} was not stopped in good order: {error}",
                        one.process
                    ));
                }
            }
        }
    }
}

fn spawn(program: &Path, process: &Process, log: &Path) -> anyhow::Result<(Child, Option<ChildStdin>)> {
    let log: File = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot write the log {}", log.display()))?;
    let mut command = Command::new(program);
    command
        .envs(process.settings.iter().map(|(variable, value)| (variable, value)))
        // Our end of this pipe breaks when we are gone, however that happened, and then the process stops.
        .env("STOP_AT_EOF", "true")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log)
        // A terminal's Ctrl-C is for us, who end the processes in their turn.
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command
        .spawn()
        .with_context(|| format!("{} cannot be started", program.display()))?;
    // Waiting for a child would close its input.
    let tether = child.stdin.take();
    Ok((child, tether))
}

async fn keep(
    program: PathBuf,
    process: Process,
    log: PathBuf,
    (mut child, mut tether): (Child, Option<ChildStdin>),
    stop: CancellationToken,
) {
    let mut pauses = Pauses::default();
    loop {
        let mut pause;
        tokio::select! {
            ended = child.wait() => {
                pause = pauses.next();
                let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
                show::warn(&format!("{process:?} ended ({how}); starting it again in {} ms", pause.as_millis()));
            }
            () = stop.cancelled() => {
                end(&process, &mut child).await;
                drop(tether);
                return;
            }
        }
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
            match spawn(&program, &process, &log) {
                Ok(again) => {
                    (child, tether) = again;
                    break;
                }
                Err(error) => {
                    pause = pauses.next();
                    show::warn(&format!("{error:#}; trying again in {} ms", pause.as_millis()));
                }
            }
        }
    }
}

/// Asks a process to end; makes it end if it does not.
async fn end(process: &Process, child: &mut Child) {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        // It may have ended this very moment.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        show::warn(&format!(
            "{process:?} did not stop within {} s; killing it",
            GRACE.as_secs()
        ));
        if let Err(error) = child.kill().await {
            show::warn(&format!("{process:?} cannot be killed: {error}"));
        }
    }
}

/// The end of a log, for an error's message.
fn last_words(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    format!(
        "{} ends with:\n{}",
        log.display(),
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    )
}
