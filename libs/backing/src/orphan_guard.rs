use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{data_folder::Unprivileged, folder_lock::FolderLock};

/// How a local server is started and stopped.
#[derive(Debug)]
pub struct Launch {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    pub log: PathBuf,
    pub user: Option<Unprivileged>,
    /// The signal that stops it in good order.
    pub stop: Signal,
    /// The lock on its folder, from the first start until the last stop.
    pub folder_lock: FolderLock,
}

/// A server that ends with this process. A shell guards it: it reads from a pipe that only this
/// process holds. When this process ends in any way, the pipe breaks and the shell stops the
/// server.
#[derive(Debug)]
pub struct GuardedServer {
    shell: Child,
    pipe: Option<ChildStdin>,
    server: Pid,
    stop: Signal,
}

const SHELL: &str = include_str!("orphan_guard.sh");

impl Launch {
    pub fn start(&self) -> anyhow::Result<GuardedServer> {
        let mut command = Command::new("sh");
        command
            .args(["-c", SHELL, "sh", &self.stop.as_str()["SIG".len()..]])
            .arg(&self.log)
            .arg(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            // A terminal's Ctrl-C must reach only this process, which stops the servers in order.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(self.folder_lock.share()?);
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
        let mut shell = command
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        let pipe = shell.stdin.take();
        let stdout = shell.stdout.take().context("the shell's output is piped")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let server = Pid::from_raw(
            line.trim()
                .parse()
                .context("the shell did not start the server")?,
        );
        Ok(GuardedServer {
            shell,
            pipe,
            server,
            stop: self.stop,
        })
    }

    /// The end of the log, for an error's message.
    pub fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        format!("its log {} ends with:\n{}", self.log.display(), tail(&text))
    }
}

/// The last lines.
pub fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

impl GuardedServer {
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.shell.try_wait(), Ok(None))
    }

    /// Asks the server to end and waits for it.
    pub fn stop(mut self) -> anyhow::Result<()> {
        send(self.server, self.stop);
        self.wait(&[], Duration::from_secs(30))
    }

    /// Ends the server without warning, with all its processes.
    pub fn kill(mut self) -> anyhow::Result<()> {
        let all = self.processes();
        for pid in &all {
            send(*pid, Signal::SIGKILL);
        }
        self.wait(&all, Duration::from_secs(10))
    }

    pub fn freeze(&self) {
        for pid in self.processes() {
            send(pid, Signal::SIGSTOP);
        }
    }

    pub fn thaw(&self) {
        for pid in self.processes() {
            send(pid, Signal::SIGCONT);
        }
    }

    /// Waits until the server and `others` have ended: a child that still runs would keep what the
    /// next server needs.
    fn wait(&mut self, others: &[Pid], within: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + within;
        while !self.has_ended() || others.iter().any(|pid| is_running(*pid)) {
            if Instant::now() > deadline {
                self.pipe = None;
                bail!(
                    "process {} did not end within {} s",
                    self.server,
                    within.as_secs()
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// The server and its children.
    fn processes(&self) -> Vec<Pid> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries
            .filter_map(|entry| Some(Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)));
        let children = pids
            .filter(|pid| state_and_parent(*pid).is_some_and(|(_, parent)| parent == self.server));
        std::iter::once(self.server).chain(children).collect()
    }
}

fn state_and_parent(pid: Pid) -> Option<(char, Pid)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // pid (name) state parent …; the name may hold anything, so count from its end.
    let mut words = stat.rsplit_once(") ")?.1.split(' ');
    Some((
        words.next()?.chars().next()?,
        Pid::from_raw(words.next()?.parse().ok()?),
    ))
}

fn is_running(pid: Pid) -> bool {
    state_and_parent(pid).is_some_and(|(state, _)| state != 'Z')
}

/// Sends a signal. An error means that the process has ended, which no caller minds.
fn send(pid: Pid, signal: Signal) {
    let _ = kill(pid, signal);
}

impl Drop for GuardedServer {
    fn drop(&mut self) {
        // Breaks the pipe: the shell does the rest.
        self.pipe = None;
    }
}
