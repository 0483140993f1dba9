use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
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
    backoff::RestartBackoff,
    console,
    process::{Process, Role},
};
use crate::client::wait_for;

/// The folder of the programs, and the user that they run as if this process is root.
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

/// Runs processes, and starts a process that ends again, each time after a longer delay.
pub struct Supervisor {
    programs: Programs,
    logs: PathBuf,
    supervised: Vec<Supervised>,
}

struct Supervised {
    process: Process,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// How long a process may take to stop: longer than its own grace period.
const STOP_TIMEOUT: Duration = Duration::from_secs(40);

impl Supervisor {
    pub fn new(programs: Programs, logs: &Path) -> Self {
        Self {
            programs,
            logs: logs.to_owned(),
            supervised: Vec::new(),
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
            let task = tokio::spawn(supervise(launch, child, stop.clone()));
            self.supervised.push(Supervised {
                process: process.clone(),
                stop,
                task,
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

    /// Stops all of them: first the gateway, then the services, then the relays, which still send
    /// what the services published last.
    pub async fn stop(self) {
        let order: [fn(&Role) -> bool; 3] = [
            |role| matches!(role, Role::Gateway),
            |role| matches!(role, Role::Service(_)),
            |role| matches!(role, Role::Relay(_)),
        ];
        let mut supervised = self.supervised;
        for is_next in order {
            let (now, later): (Vec<_>, Vec<_>) = supervised
                .into_iter()
                .partition(|one| is_next(&one.process.role));
            supervised = later;
            for one in &now {
                one.stop.cancel();
            }
            for one in now {
                if let Err(error) = one.task.await {
                    console::warn(&format!(
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
            // The pipe breaks when this process ends in any way, and then the process stops.
            .env("STOP_AT_EOF", "true")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(private::log(&self.log)?)
            // A terminal's Ctrl-C must reach only this process, which stops the others in order.
            .process_group(0)
            .kill_on_drop(true);
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
        let mut child = command
            .spawn()
            .with_context(|| format!("{} cannot be started", self.program.display()))?;
        // `Child::wait` would close its input.
        let pipe = child.stdin.take();
        Ok((child, pipe))
    }
}

async fn supervise(
    launch: Launch,
    (mut child, mut pipe): (Child, Option<ChildStdin>),
    stop: CancellationToken,
) {
    let process = &launch.process;
    let mut backoff = RestartBackoff::default();
    loop {
        let mut delay;
        tokio::select! {
            ended = child.wait() => {
                delay = backoff.next_delay();
                let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
                console::warn(&format!(
                    "{process:?} ended ({how}); starting it again in {} ms",
                    delay.as_millis()
                ));
            }
            () = stop.cancelled() => {
                end(process, &mut child).await;
                drop(pipe);
                return;
            }
        }
        loop {
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = stop.cancelled() => return,
            }
            match launch.spawn() {
                Ok(again) => {
                    (child, pipe) = again;
                    break;
                }
                Err(error) => {
                    delay = backoff.next_delay();
                    console::warn(&format!(
                        "{error:#}; trying again in {} ms",
                        delay.as_millis()
                    ));
                }
            }
        }
    }
}

/// Asks a process to stop, and kills it if it does not stop in time.
async fn end(process: &Process, child: &mut Child) {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        // An error means that the process has ended.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    if tokio::time::timeout(STOP_TIMEOUT, child.wait())
        .await
        .is_err()
    {
        console::warn(&format!(
            "{process:?} did not stop within {} s; killing it",
            STOP_TIMEOUT.as_secs()
        ));
        if let Err(error) = child.kill().await {
            console::warn(&format!("{process:?} cannot be killed: {error}"));
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
