use std::{
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    process::Command,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::Kubectl;

const PAUSE: Duration = Duration::from_millis(500);
/// Between two words about what is waited for.
const SAY: Duration = Duration::from_secs(5);
/// A pod that takes this long for one word is no use either.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ports of this machine that lead to those of a pod, for as long as this lives.
pub struct Forward {
    to: String,
    ports: Vec<(u16, u16)>,
    asked: Option<u16>,
    said: Said,
    keeper: JoinHandle<()>,
}

/// What the program that forwards has said last.
type Said = Arc<Mutex<String>>;

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
        Self::by(command, to, ports, asked)
    }

    fn by(
        command: impl Fn() -> Command + Send + 'static,
        to: String,
        ports: Vec<(u16, u16)>,
        asked: Option<u16>,
    ) -> Self {
        let said = Said::default();
        Self {
            keeper: tokio::spawn(keep_up(command, said.clone(), asked, PATIENCE)),
            to,
            ports,
            asked,
            said,
        }
    }

    /// Waits until all ports take connections, and the one that is asked answers. Says now and then what it waits for, and why.
    pub async fn until_open(&self, within: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        let mut say = began + SAY;
        loop {
            let Err(error) = self.answers().await else {
                return Ok(());
            };
            let why = || {
                let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
                match said.trim() {
                    "" => format!("{error:#}; kubectl says nothing"),
                    said => format!("{error:#}; kubectl says: {said}"),
                }
            };
            if began.elapsed() >= within {
                let (to, seconds) = (&self.to, within.as_secs());
                bail!(
                    "{to} was not reached within {seconds} s: {}; see whether `kubectl port-forward` to it works",
                    why()
                );
            }
            if Instant::now() >= say {
                eprintln!("waiting for {}: {}", self.to, why());
                say = Instant::now() + SAY;
            }
            sleep(PAUSE).await;
        }
    }

    async fn answers(&self) -> anyhow::Result<()> {
        for (here, there) in &self.ports {
            TcpStream::connect(("127.0.0.1", *here))
                .await
                .with_context(|| format!("port {there} is not open"))?;
        }
        if let Some(port) = self.asked {
            let answer = timeout(SAY, reqwest::get(alive(port))).await;
            answer.context("no answer comes")?.context("no answer comes")?;
        }
        Ok(())
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

async fn keep_up(command: impl Fn() -> Command, said: Said, asked: Option<u16>, patience: Duration) {
    loop {
        // kubectl carries all connections over one. When that gets stuck, as after a client that left in the midst of an answer,
        // it goes on to take connections, and none of them leads anywhere (kubernetes/kubectl#1620).
        tokio::select! {
            () = run(command(), &said) => {}
            () = silence(asked, patience) => {}
        }
        sleep(PAUSE).await;
    }
}

/// Runs a program to its end, and keeps its last words.
async fn run(mut command: Command, said: &Said) {
    let keep = |words: String| *said.lock().unwrap_or_else(PoisonError::into_inner) = words;
    command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return keep(format!("it cannot be run: {error}")),
    };
    if let Some(stderr) = child.stderr.take() {
        let mut lines = BufReader::new(stderr).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            keep(line);
        }
    }
    // However it ended, it is started again.
    let _ = child.wait().await;
}

fn alive(port: u16) -> String {
    format!("http://127.0.0.1:{port}/health/live")
}

/// Returns when a port has answered no request for so long.
async fn silence(port: Option<u16>, patience: Duration) {
    let Some(port) = port else {
        return std::future::pending().await;
    };
    let url = alive(port);
    // Whatever the answer is, it came through.
    let answer = async || {
        // By a client of its own, so over a new connection: those that are open may go on when no other can be made.
        while reqwest::Client::new().get(&url).send().await.is_err() {
            sleep(PAUSE).await;
        }
    };
    while timeout(patience, answer()).await.is_ok() {
        sleep(PAUSE * 4).await;
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
        let _ = timeout(
            Duration::from_secs(2),
            keep_up(program, Said::default(), Some(port), PATIENCE),
        )
        .await;
        started.load(Ordering::Relaxed)
    }

    fn program(script: &'static str) -> impl Fn() -> Command + Send + 'static {
        move || {
            let mut program = Command::new("sh");
            program.args(["-c", script]);
            program
        }
    }

    /// Why a forward was given up that was given a second.
    async fn given_up(script: &'static str, ports: Vec<(u16, u16)>, asked: Option<u16>) -> String {
        let forward = Forward::by(program(script), "service/shop".to_owned(), ports, asked);
        let began = Instant::now();
        let error = forward.until_open(Duration::from_secs(1)).await.unwrap_err();
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        error.to_string()
    }

    #[tokio::test]
    async fn a_forward_that_does_not_open_is_given_up_with_the_reason() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let refused = "echo 'Unable to connect to the server: no route to host' >&2; exit 1";
        let why = given_up(refused, vec![(port, 8080)], None).await;
        for part in [
            "service/shop",
            "within 1 s",
            "port 8080 is not open",
            "no route to host",
        ] {
            assert!(why.contains(part), "{part} in: {why}");
        }
        let why = given_up("sleep 60", vec![(port, 8080)], None).await;
        assert!(why.contains("kubectl says nothing"), "{why}");
    }

    #[tokio::test]
    async fn a_forward_that_leads_nowhere_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let why = given_up("sleep 60", vec![(port, 9090)], Some(port)).await;
        assert!(why.contains("no answer comes"), "{why}");
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
