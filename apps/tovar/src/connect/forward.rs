use std::{process::Stdio, time::Duration};

use anyhow::Context;
use tokio::{net::TcpStream, task::JoinHandle};

use super::Kubectl;
use crate::client::wait_for;

const PAUSE: Duration = Duration::from_millis(500);
const OPEN_WITHIN: Duration = Duration::from_secs(120);

/// Ports of this machine that lead to those of a pod, for as long as this lives.
pub struct Forward {
    to: String,
    ports: Vec<(u16, u16)>,
    keeper: JoinHandle<()>,
}

impl Forward {
    /// Forwards each first port of a pair to the second one of a pod of `to`. When that pod ends, the next is taken.
    pub fn start(kubectl: Kubectl, to: String, ports: Vec<(u16, u16)>) -> Self {
        let pairs: Vec<String> = ports
            .iter()
            .map(|(here, there)| format!("{here}:{there}"))
            .collect();
        let object = to.clone();
        let keeper = tokio::spawn(async move {
            let mut arguments = vec!["port-forward", &object];
            arguments.extend(pairs.iter().map(String::as_str));
            loop {
                // Its words are about single connections; what matters shows where they are used.
                let ended = kubectl
                    .command(&arguments)
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status();
                let _ = ended.await;
                tokio::time::sleep(PAUSE).await;
            }
        });
        Self { to, ports, keeper }
    }

    /// Waits until all ports take connections.
    pub async fn until_open(&self) -> anyhow::Result<()> {
        for (here, _) in &self.ports {
            wait_for("a forward to open", OPEN_WITHIN, async || {
                TcpStream::connect(("127.0.0.1", *here)).await?;
                Ok(true)
            })
            .await
            .with_context(|| format!("{} cannot be forwarded to", self.to))?;
        }
        Ok(())
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}
