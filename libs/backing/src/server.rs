use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use tokio::time::Instant;

use crate::{
    docker::Contained,
    orphan_guard::{GuardedServer, Launch},
};

/// A server of either kind.
#[derive(Debug)]
pub enum Server {
    Local(Box<Local>),
    Docker(Contained),
}

#[derive(Debug)]
pub struct Local {
    launch: Launch,
    process: Option<GuardedServer>,
}

/// How long a server may take until it answers, including the recovery after a crash.
const START_TIMEOUT: Duration = Duration::from_secs(180);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

impl Server {
    pub fn local(launch: Launch) -> anyhow::Result<Self> {
        let process = Some(launch.start()?);
        Ok(Self::Local(Box::new(Local { launch, process })))
    }

    /// Calls `ask` until it succeeds; an error if the server ends, or does not answer in time.
    pub async fn until_ready(
        &mut self,
        name: &str,
        ask: impl AsyncFn() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let error = match tokio::time::timeout(ANSWER_TIMEOUT, ask()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error,
                Err(_) => anyhow!("it did not answer within {} s", ANSWER_TIMEOUT.as_secs()),
            };
            if let Some(last_words) = self.last_words().await? {
                bail!("{name} ended; {last_words}\nIf the data is broken, start anew with --fresh");
            }
            if Instant::now() > deadline {
                return Err(error).with_context(|| {
                    format!("{name} did not answer within {} s", START_TIMEOUT.as_secs())
                });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn has_ended(&mut self) -> anyhow::Result<bool> {
        Ok(self.last_words().await?.is_some())
    }

    async fn last_words(&mut self) -> anyhow::Result<Option<String>> {
        match self {
            Self::Local(local) => {
                let has_ended = local.process.as_mut().is_none_or(GuardedServer::has_ended);
                Ok(has_ended.then(|| local.launch.last_words()))
            }
            Self::Docker(container) => container.last_words().await,
        }
    }

    pub async fn kill(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Local(local) => match local.process.take() {
                Some(process) => tokio::task::spawn_blocking(move || process.kill()).await?,
                None => Ok(()),
            },
            Self::Docker(container) => container.kill().await,
        }
    }

    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Local(local) => local.process = Some(local.launch.start()?),
            Self::Docker(container) => container.start_again().await?,
        }
        Ok(())
    }

    pub async fn freeze(&self) -> anyhow::Result<()> {
        match self {
            Self::Local(local) => local.process.iter().for_each(GuardedServer::freeze),
            Self::Docker(container) => container.freeze().await?,
        }
        Ok(())
    }

    pub async fn thaw(&self) -> anyhow::Result<()> {
        match self {
            Self::Local(local) => local.process.iter().for_each(GuardedServer::thaw),
            Self::Docker(container) => container.thaw().await?,
        }
        Ok(())
    }

    pub async fn stop(self) -> anyhow::Result<()> {
        match self {
            Self::Local(mut local) => match local.process.take() {
                Some(process) => tokio::task::spawn_blocking(move || process.stop()).await?,
                None => Ok(()),
            },
            Self::Docker(container) => container.stop().await,
        }
    }
}
