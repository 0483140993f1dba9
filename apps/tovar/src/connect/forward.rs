use std::{process::Stdio, time::Duration};

use anyhow::Context;
use tokio::{net::TcpStream, process::Command, task::JoinHandle, time::timeout};

use super::Kubectl;
use crate::client::wait_for;

const PAUSE: Duration = Duration::from_millis(500);
const OPEN_WITHIN: Duration = Duration::from_secs(120);
/// A pod that takes this long for one word is no use either.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ports of this machine that lead to those of a pod, for as long as this lives.
pub struct Forward {
    to: String,
    ports: Vec<(u16, u16)>,
    keeper: JoinHandle<()>,
}

impl Forward {
    /// Forwards each first port of a pair to the second one of a pod of `to`. When that pod ends, the next is taken. The same when
    /// no request to the port `asked`, one of the first ones, is answered any more.
    pub fn start(kubectl: Kubectl, to: String, ports: Vec<(u16, u16)>, asked: Option<u16>) -> Self {
        let mut arguments = vec!["port-forward".to_owned(), to.clone()];
        arguments.extend(ports.iter().map(|(here, there)| format!("{here}:{there}")));
        let command = move || {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            kubectl.command(&arguments)
        };
        let keeper = tokio::spawn(keep_up(command, asked, PATIENCE));
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

async fn keep_up(command: impl Fn() -> Command, asked: Option<u16>, patience: Duration) {
    loop {
        // Its words are about single connections; what matters shows where they are used.
        let ended = command()
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .status();
        // kubectl carries all connections over one. When that gets stuck, as after a client that left in the midst of an answer,
        // it goes on to take connections, and none of them leads anywhere (kubernetes/kubectl#1620).
        tokio::select! {
            _ = ended => {}
            () = silence(asked, patience) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Returns when a port has answered no request for so long.
async fn silence(port: Option<u16>, patience: Duration) {
    let Some(port) = port else {
        return std::future::pending().await;
    };
    let url = format!("http://127.0.0.1:{port}/health/live");
    // Whatever the answer is, it came through.
    let answer = async || {
        // By a client of its own, so over a new connection: those that are open may go on when no other can be made.
        while reqwest::Client::new().get(&url).send().await.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
    };
    while timeout(patience, answer()).await.is_ok() {
        tokio::time::sleep(PAUSE * 4).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(200);

    /// How often a program that never ends is started in two seconds, while a port takes connections, and answers or does not.
    async fn starts(answers: bool) -> usize {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut taken = Vec::new();
            loop {
                let (mut connection, _) = listener.accept().await.unwrap();
                if answers {
                    let _ = connection.read(&mut [0; 1024]).await;
                    let _ = connection
                        .write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")
                        .await;
                }
                taken.push(connection);
            }
        });
        let started = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&started);
        let program = move || {
            counter.fetch_add(1, Ordering::Relaxed);
            let mut program = Command::new("sleep");
            program.arg("60");
            program
        };
        let _ = timeout(Duration::from_secs(2), keep_up(program, Some(port), PATIENCE)).await;
        started.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn a_forward_that_takes_connections_and_answers_none_is_made_anew() {
        assert!(starts(false).await > 1);
    }

    #[tokio::test]
    async fn a_forward_that_answers_anything_stays() {
        assert_eq!(starts(true).await, 1);
    }
}
