//! Relays and consumers as processes of their own: this program again, by hidden commands.

use std::{
    ffi::OsString,
    fs::File,
    io::Read,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use anyhow::Context;
use clap::Subcommand;
use connect::{KafkaSettings, PostgresSettings};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use outbox_relay::RelaySettings;
use telemetry::LogSettings;

use super::{addresses::ServerAddresses, cleanup::Cleanup, consumer};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    Relay,
    Consumer,
}

/// A process of the prover. It stops in good order when its standard input ends, also because the
/// prover has ended.
#[derive(Clone, Debug, Subcommand)]
pub enum ProveProcess {
    #[command(hide = true)]
    Relay(ServerAddresses),
    #[command(hide = true)]
    Consumer(ServerAddresses),
}

pub async fn run(process: ProveProcess) -> anyhow::Result<()> {
    telemetry::init(&LogSettings::default());
    match process {
        ProveProcess::Relay(addresses) => {
            let kafka = KafkaSettings::new(addresses.brokers, addresses.prefix);
            let settings = RelaySettings::new(
                "/tovar/prove.notes",
                PostgresSettings::new(addresses.url),
                kafka,
            );
            let mut running = outbox_relay::start(settings).await?;
            tokio::select! {
                () = input_ends() => running.stop().await,
                ended = running.ended() => ended,
            }
        }
        ProveProcess::Consumer(addresses) => {
            let running = consumer::start(&addresses).await?;
            input_ends().await;
            running.stop().await;
            Ok(())
        }
    }
}

async fn input_ends() {
    let (ended, seen) = tokio::sync::oneshot::channel();
    // On a thread of its own: the runtime waits for threads of its pool before it ends.
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = ended.send(());
    });
    let _ = seen.await;
}

/// A running process, which is killed when this is dropped.
pub struct Process {
    child: Child,
    input: Option<ChildStdin>,
    thaw: Option<Cleanup>,
}

impl Process {
    pub fn start(
        program: &Path,
        role: Role,
        addresses: &ServerAddresses,
        environment: Vec<(&str, OsString)>,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let name = match role {
            Role::Relay => "relay",
            Role::Consumer => "consumer",
        };
        let mut command = Command::new(program);
        command
            .args(["prove", name, &addresses.brokers, &addresses.prefix])
            .env("DATABASE_URL", &addresses.url)
            .envs(environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::options().create(true).append(true).open(log)?);
        let mut child = command
            .spawn()
            .with_context(|| format!("a {name} cannot be started"))?;
        let input = child.stdin.take();
        Ok(Self {
            child,
            input,
            thaw: None,
        })
    }

    pub fn freeze(&mut self) -> anyhow::Result<()> {
        let id = self.child.id().to_string();
        // A frozen process does not notice that the prover has ended.
        self.thaw = Some(Cleanup::run("kill -s CONT \"$1\"", id)?);
        self.signal(Signal::SIGSTOP);
        Ok(())
    }

    pub fn thaw(&mut self) {
        self.thaw = None;
    }

    /// Sends a signal. An error means that the process has ended, which no caller minds.
    fn signal(&self, signal: Signal) {
        if let Ok(id) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(id), signal);
        }
    }

    /// Asks it to stop in good order.
    pub fn ask_to_end(&mut self) {
        self.input = None;
    }

    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
