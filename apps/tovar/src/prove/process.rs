//! Relays and consumers as processes of their own: this program again, by hidden commands.

use std::{
    ffi::OsString,
    fs::File,
    io::Read,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use anyhow::Context;
use clap::{Args, Subcommand};
use connect::{KafkaSettings, PostgresSettings};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use outbox_relay::RelaySettings;
use telemetry::LogSettings;

use super::{afterwards::Afterwards, consumer};

/// Where a process finds PostgreSQL and Kafka.
#[derive(Clone, Debug, Args)]
pub struct Places {
    /// Not an argument, which each user of this machine may read.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub url: String,
    pub brokers: String,
    pub prefix: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    Relay,
    Consumer,
}

/// What a process of the prover does. Each ends in good order when its standard input does: also if
/// the prover is no more.
#[derive(Clone, Debug, Subcommand)]
pub enum Work {
    #[command(hide = true)]
    Relay(Places),
    #[command(hide = true)]
    Consumer(Places),
}

pub async fn work(work: Work) -> anyhow::Result<()> {
    telemetry::init(&LogSettings::default());
    match work {
        Work::Relay(places) => {
            let kafka = KafkaSettings::new(places.brokers, places.prefix);
            let settings = RelaySettings::new(
                "/tovar/prove.notes",
                PostgresSettings::new(places.url),
                kafka,
            );
            let mut running = outbox_relay::start(settings).await?;
            tokio::select! {
                () = input_ends() => running.stop().await,
                ended = running.ended() => ended,
            }
        }
        Work::Consumer(places) => {
            let running = consumer::start(&places).await?;
            input_ends().await;
            running.stop().await;
            Ok(())
        }
    }
}

async fn input_ends() {
    let (ended, seen) = tokio::sync::oneshot::channel();
    // A thread of its own: the runtime would wait for one of its pool before it ends.
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = ended.send(());
    });
    let _ = seen.await;
}

/// A process that runs; killed when this is dropped.
pub struct Process {
    child: Child,
    input: Option<ChildStdin>,
    thaw: Option<Afterwards>,
}

impl Process {
    pub fn start(
        program: &Path,
        role: Role,
        places: &Places,
        environment: Vec<(&str, OsString)>,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let name = match role {
            Role::Relay => "relay",
            Role::Consumer => "consumer",
        };
        let mut command = Command::new(program);
        command
            .args(["prove", name, &places.brokers, &places.prefix])
            .env("DATABASE_URL", &places.url)
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
        // Frozen, it would not notice that we are gone.
        self.thaw = Some(Afterwards::run("kill -s CONT \"$1\"", id)?);
        self.signal(Signal::SIGSTOP);
        Ok(())
    }

    pub fn thaw(&mut self) {
        self.thaw = None;
    }

    /// It may have ended this very moment, which is fine with everyone who sends.
    fn signal(&self, signal: Signal) {
        if let Ok(id) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(id), signal);
        }
    }

    /// Asks it to end in good order.
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
