use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::Context;
use backing::{Unprivileged, private};
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

/// Where the programs lie, and as whom they run if we are root.
pub struct Programs {
    pub folder: PathBuf,
    pub user: Option<Unprivileged>,
}

impl Programs {
    /// How a process is started.
    fn launch(&self, process: &Process, logs: &Path) -> anyhow::Result<Launch> {
        let program = self.folder.join(process.program());
        let program = match self.user {
            Some(user) => user.program(&program)?,
            None => program,
        };
        Ok(Launch {
            program,
            user: self.user,
            process: process.clone(),
            log: logs.join(format!("{}.log", process.name())),
        })
    }
}

struct Launch {
    program: PathBuf,
    user: Option<Unprivileged>,
    process: Process,
    log: PathBuf,
}

/// Runs processes, and starts those again that die, with growing pauses.
pub struct Supervisor {
    programs: Programs,
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
    pub fn new(programs: Programs, logs: &Path) -> Self {
        Self {
            programs,
            logs: logs.to_owned(),
            kept: Vec::new(),
        }
    }

    /// Starts processes, and keeps them running from now on.
    pub fn start<'p>(
        &mut self,
        processes: impl IntoIterator<Item = &'p Process>,
    ) -> anyhow::Result<()> {
        for process in processes {
            let launch = self.programs.launch(process, &self.logs)?;
            let child = launch.spawn()?;
            let stop = CancellationToken::new();
            let keeper = tokio::spawn(keep(launch, child, stop.clone()));
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

    /// Ends all of them: first who takes requests, then who consumes, then the relays, which still
    /// send what the services wrote last.
    pub async fn stop(self) {
        let order: [fn(&Role) -> bool; 3] = [
            |role| matches!(role, Role::Gateway),
            |role| matches!(role, Role::Service(_)),
            |role| matches!(role, Role::Relay(_)),
        ];
        let mut kept = self.kept;
        for is_next in order {
            let (now, later): (Vec<_>, Vec<_>) =
                kept.into_iter().partition(|one| is_next(&one.process.role));
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

impl Launch {
    fn spawn(&self) -> anyhow::Result<(Child, Option<ChildStdin>)> {
        let mut command = Command::new(&self.program);
        let settings = self.process.settings.iter();
        command
            .envs(settings.map(|(variable, value)| (variable, value)))
            // Our end of this pipe breaks when we are gone, however that happened, and then the
            // process stops.
            .env("STOP_AT_EOF", "true")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(private::log(&self.log)?)
            // A terminal's Ctrl-C is for us, who end the processes in their turn.
            .process_group(0)
            .kill_on_drop(true);
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
        let mut child = command
            .spawn()
            .with_context(|| format!("{} cannot be started", self.program.display()))?;
        // Waiting for a child would close its input.
        let tether = child.stdin.take();
        Ok((child, tether))
    }
}

async fn keep(
    launch: Launch,
    (mut child, mut tether): (Child, Option<ChildStdin>),
    stop: CancellationToken,
) {
    let process = &launch.process;
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
                end(process, &mut child).await;
                drop(tether);
                return;
            }
        }
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
            match launch.spawn() {
                Ok(again) => {
                    (child, tether) = again;
                    break;
                }
                Err(error) => {
                    pause = pauses.next();
                    show::warn(&format!(
                        "{error:#}; trying again in {} ms",
                        pause.as_millis()
                    ));
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
