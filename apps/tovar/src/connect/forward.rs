use std::{
    collections::BTreeMap,
    fs, io,
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncBufReadExt, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
    process::Command,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::Kubectl;

/// Between two attempts to start the forwarding program, and to reach the pod.
const RETRY_DELAY: Duration = Duration::from_millis(500);
/// Between two looks whether the forwarding program listens.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Between two messages about what the command waits for; and the bound of a request meanwhile.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);
/// Bounds the wait for a pod's answer. A pod that takes longer is of no use either.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A port of this machine that this process holds while it runs, and that leads to a port of a pod.
pub struct LocalPort {
    listener: TcpListener,
    pub here: u16,
    there: u16,
}

impl LocalPort {
    /// Listens at this port; for 0 at any free one.
    pub async fn at(here: u16, there: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", here)).await?;
        let here = listener.local_addr()?.port();
        Ok(Self {
            listener,
            here,
            there,
        })
    }
}

/// Ports of this machine that lead to a pod until this is dropped.
pub struct Forward {
    to: String,
    /// Ports of the pod.
    ports: Vec<u16>,
    asked: Option<u16>,
    forwarder: Forwarder,
    tasks: JoinSet<()>,
}

/// The forwarding program: what it printed last, its process, and where it listens for each port of
/// the pod.
#[derive(Clone, Default)]
struct Forwarder(Arc<Mutex<ForwarderState>>);

#[derive(Default)]
struct ForwarderState {
    said: String,
    process: Option<u32>,
    ports: BTreeMap<u16, u16>,
}

impl Forwarder {
    fn state(&self) -> MutexGuard<'_, ForwarderState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Clears the state after the program has ended.
    fn forget(&self) {
        let mut state = self.state();
        state.process = None;
        state.ports.clear();
    }

    /// The port at which the program listens for a port of the pod. `None` if another program has
    /// taken this port after its end.
    fn open(&self, there: u16) -> Option<u16> {
        let state = self.state();
        let (process, port) = (state.process?, *state.ports.get(&there)?);
        drop(state);
        listens(process, port).then_some(port)
    }
}

impl Forward {
    /// Leads each local port to a pod of `to`. When that pod ends, or no longer answers requests to
    /// `asked`, one of the local ports, another pod is chosen.
    pub fn start(
        kubectl: Kubectl,
        to: String,
        local_ports: Vec<LocalPort>,
        asked: Option<u16>,
    ) -> Self {
        let mut arguments = vec!["port-forward".to_owned(), to.clone()];
        arguments.extend(["--address".to_owned(), "127.0.0.1".to_owned()]);
        // kubectl chooses the ports and prints them: between a choice here and its start another
        // program could take a port.
        arguments.extend(
            local_ports
                .iter()
                .map(|local_port| format!(":{}", local_port.there)),
        );
        let command = move || {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            kubectl.command(&arguments)
        };
        Self::by(command, to, local_ports, asked)
    }

    fn by(
        command: impl Fn() -> Command + Send + 'static,
        to: String,
        local_ports: Vec<LocalPort>,
        asked: Option<u16>,
    ) -> Self {
        let forwarder = Forwarder::default();
        let ports = local_ports
            .iter()
            .map(|local_port| local_port.there)
            .collect();
        let mut tasks = JoinSet::new();
        for local_port in local_ports {
            tasks.spawn(serve(local_port, forwarder.clone()));
        }
        tasks.spawn(keep_running(
            command,
            forwarder.clone(),
            asked,
            ANSWER_TIMEOUT,
        ));
        Self {
            to,
            ports,
            asked,
            forwarder,
            tasks,
        }
    }

    /// Waits until all ports are open and `asked` answers. Prints every few seconds what it waits
    /// for, and why.
    pub async fn until_open(&self, within: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        let mut say = began + REPORT_INTERVAL;
        loop {
            let Err(error) = self.answers().await else {
                return Ok(());
            };
            let why = || match self.forwarder.state().said.trim() {
                "" => format!("{error:#}; kubectl says nothing"),
                said => format!("{error:#}; kubectl says: {said}"),
            };
            if began.elapsed() >= within {
                let (to, seconds) = (&self.to, within.as_secs());
                bail!(
                    "{to} was not reached within {seconds} s: {}; see whether `kubectl \
                     port-forward` to it works",
                    why()
                );
            }
            if Instant::now() >= say {
                eprintln!("waiting for {}: {}", self.to, why());
                say = Instant::now() + REPORT_INTERVAL;
            }
            sleep(RETRY_DELAY).await;
        }
    }

    async fn answers(&self) -> anyhow::Result<()> {
        for there in &self.ports {
            let open = self.forwarder.open(*there);
            open.with_context(|| format!("port {there} is not open"))?;
        }
        if let Some(port) = self.asked {
            let answer = timeout(REPORT_INTERVAL, reqwest::get(alive(port))).await;
            answer
                .context("no answer comes")?
                .context("no answer comes")?;
        }
        Ok(())
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.tasks.abort_all();
    }
}

/// Connects each client of a local port to the forwarding program.
async fn serve(local_port: LocalPort, forwarder: Forwarder) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((mut ours, _)) = local_port.listener.accept().await else {
            // Out of file descriptors: wait for some to be freed.
            sleep(RETRY_DELAY).await;
            continue;
        };
        let forwarder = forwarder.clone();
        connections.spawn(async move {
            // The program may be starting again. The client is disconnected if that takes too long.
            let open = timeout(ANSWER_TIMEOUT, async {
                loop {
                    match forwarder.open(local_port.there) {
                        Some(port) => return port,
                        None => sleep(POLL_INTERVAL).await,
                    }
                }
            });
            let Ok(port) = open.await else { return };
            let Ok(mut theirs) = TcpStream::connect(("127.0.0.1", port)).await else {
                return;
            };
            // The program may have ended before this connection, and another one have taken its
            // port.
            if forwarder.open(local_port.there) == Some(port) {
                let _ = (ours.set_nodelay(true), theirs.set_nodelay(true));
                let _ = copy_bidirectional(&mut ours, &mut theirs).await;
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn keep_running(
    command: impl Fn() -> Command,
    forwarder: Forwarder,
    asked: Option<u16>,
    answer_timeout: Duration,
) {
    loop {
        // kubectl carries all connections over one. When that one hangs, as after a client that
        // left in the middle of an answer, kubectl still accepts connections, but forwards none
        // (kubernetes/kubectl#1620).
        tokio::select! {
            () = run(command(), &forwarder) => {}
            () = silence(asked, answer_timeout) => {}
        }
        forwarder.forget();
        sleep(RETRY_DELAY).await;
    }
}

/// Runs a program until it ends, and records where it listens and what it printed last.
async fn run(mut command: Command, forwarder: &Forwarder) {
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            forwarder.state().said = format!("it cannot be run: {error}");
            return;
        }
    };
    forwarder.state().process = child.id();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ports = async {
        if let Some(stdout) = stdout {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                forwarder.state().ports.extend(forwarded(&line));
            }
        }
    };
    let words = async {
        if let Some(stderr) = stderr {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                forwarder.state().said = line;
            }
        }
    };
    tokio::join!(ports, words);
    // It is started again, whatever its exit code is.
    let _ = child.wait().await;
}

/// The ports there and here of a line such as `Forwarding from 127.0.0.1:40123 -> 8080`.
fn forwarded(line: &str) -> Option<(u16, u16)> {
    let (here, there) = line
        .strip_prefix("Forwarding from 127.0.0.1:")?
        .split_once(" -> ")?;
    Some((there.trim().parse().ok()?, here.parse().ok()?))
}

/// Whether a process, or one that it started, listens at a port of 127.0.0.1.
fn listens(process: u32, port: u16) -> bool {
    let address = format!("{:08X}:{port:04X}", u32::from_ne_bytes([127, 0, 0, 1]));
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let listener = table.lines().find_map(|line| {
        // number, local and remote address, state, queues, timers, retries, user, timeout, inode:
        // see proc(5).
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_it = words.get(1) == Some(&address.as_str()) && words.get(3) == Some(&"0A");
        is_it.then(|| format!("socket:[{}]", words.get(9).unwrap_or(&"")))
    });
    listener.is_some_and(|socket| has_open(process, Path::new(&socket)))
}

fn has_open(process: u32, file: &Path) -> bool {
    let list = |what: &str| {
        fs::read_dir(format!("/proc/{process}/{what}"))
            .into_iter()
            .flatten()
            .flatten()
    };
    let mut open = list("fd").filter_map(|entry| fs::read_link(entry.path()).ok());
    let started = || {
        let lists =
            list("task").filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        let words: Vec<u32> = lists
            .flat_map(|list| {
                list.split_whitespace()
                    .filter_map(|word| word.parse().ok())
                    .collect::<Vec<_>>()
            })
            .collect();
        words
    };
    open.any(|found| found == file) || started().into_iter().any(|child| has_open(child, file))
}

fn alive(port: u16) -> String {
    format!("http://127.0.0.1:{port}/health/live")
}

/// Returns when a port has not answered a request within `answer_timeout`.
async fn silence(port: Option<u16>, answer_timeout: Duration) {
    let Some(port) = port else {
        return std::future::pending().await;
    };
    let url = alive(port);
    // Any answer shows that the connection works.
    let answer = async || {
        // With a new client, so over a new connection: open connections may still work when new
        // ones do not.
        while reqwest::Client::new().get(&url).send().await.is_err() {
            sleep(RETRY_DELAY).await;
        }
    };
    while timeout(answer_timeout, answer()).await.is_ok() {
        sleep(RETRY_DELAY * 4).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const ANSWER_TIMEOUT: Duration = Duration::from_millis(200);

    /// A program that behaves like kubectl: it listens at a port of its choice and prints it.
    const FORWARDS: &str = r#"
        use IO::Socket::INET;
        $| = 1;
        my $local_port = IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 9) or die;
        print "Forwarding from 127.0.0.1:", $local_port->sockport, " -> 8080\n";
        my @taken;
        while (my $connection = $local_port->accept) {
            if ($ARGV[0] eq "answers") {
                sysread $connection, my $request, 1024;
                print $connection "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
            }
            push @taken, $connection;
        }
    "#;

    fn forwards(answers: bool) -> Command {
        let mut program = Command::new("perl");
        program.args(["-e", FORWARDS, if answers { "answers" } else { "takes" }]);
        program
    }

    fn says(script: String) -> impl Fn() -> Command + Send + 'static {
        move || {
            let mut program = Command::new("sh");
            program.args(["-c", &script]);
            program
        }
    }

    /// How often a program that does not end by itself is started in three seconds, while it
    /// accepts connections, with or without answers.
    async fn starts(answers: bool) -> usize {
        let local_port = LocalPort::at(0, 8080).await.unwrap();
        let asked = Some(local_port.here);
        let started = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&started);
        let program = move || {
            counter.fetch_add(1, Ordering::Relaxed);
            forwards(answers)
        };
        let forwarder = Forwarder::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(local_port, forwarder.clone()));
        let answer_timeout = if answers {
            ANSWER_TIMEOUT * 10
        } else {
            ANSWER_TIMEOUT
        };
        let _ = timeout(
            Duration::from_secs(3),
            keep_running(program, forwarder, asked, answer_timeout),
        )
        .await;
        started.load(Ordering::Relaxed)
    }

    /// The error of a forward that gets one second to open.
    async fn given_up(program: impl Fn() -> Command + Send + 'static, asked: bool) -> String {
        let local_port = LocalPort::at(0, 8080).await.unwrap();
        let asked = asked.then_some(local_port.here);
        let forward = Forward::by(program, "service/shop".to_owned(), vec![local_port], asked);
        let began = Instant::now();
        let error = forward
            .until_open(Duration::from_secs(1))
            .await
            .unwrap_err();
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{:?}",
            began.elapsed()
        );
        error.to_string()
    }

    #[tokio::test]
    async fn a_forward_that_does_not_open_is_given_up_with_the_reason() {
        let refused = "echo 'Unable to connect to the server: no route to host' >&2; exit 1";
        let why = given_up(says(refused.to_owned()), false).await;
        for part in [
            "service/shop",
            "within 1 s",
            "port 8080 is not open",
            "no route to host",
        ] {
            assert!(why.contains(part), "{part} in: {why}");
        }
        let why = given_up(says("sleep 60".to_owned()), false).await;
        assert!(why.contains("kubectl says nothing"), "{why}");
    }

    #[tokio::test]
    async fn a_forward_that_leads_nowhere_is_given_up() {
        let why = given_up(|| forwards(false), true).await;
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

    #[tokio::test]
    async fn a_door_leads_to_what_the_program_forwards() {
        let local_port = LocalPort::at(0, 8080).await.unwrap();
        let here = local_port.here;
        let forward = Forward::by(
            || forwards(true),
            "service/shop".to_owned(),
            vec![local_port],
            Some(here),
        );
        forward.until_open(Duration::from_secs(20)).await.unwrap();
        let answer = reqwest::get(alive(here)).await.unwrap();
        assert_eq!(answer.status().as_u16(), 503);
    }

    /// Another user of this machine may have taken the port of a program that ended.
    #[tokio::test]
    async fn a_port_at_which_another_program_listens_gets_nothing() {
        let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = other.local_addr().unwrap().port();
        let line = format!("echo 'Forwarding from 127.0.0.1:{port} -> 8080'; sleep 60");
        let why = given_up(says(line.clone()), false).await;
        assert!(why.contains("port 8080 is not open"), "{why}");

        let local_port = LocalPort::at(0, 8080).await.unwrap();
        let here = local_port.here;
        let _forward = Forward::by(
            says(line),
            "service/shop".to_owned(),
            vec![local_port],
            None,
        );
        let mut client = TcpStream::connect(("127.0.0.1", here)).await.unwrap();
        client.write_all(b"the manager's password").await.unwrap();
        let came = timeout(Duration::from_secs(2), async {
            let (mut connection, _) = other.accept().await.unwrap();
            let mut bytes = [0; 8];
            connection.read(&mut bytes).await.unwrap()
        });
        assert!(matches!(came.await, Err(_) | Ok(0)), "it got something");
    }

    /// This process holds the local ports while the program is started again.
    #[tokio::test]
    async fn a_door_is_nobody_else_s_while_nothing_forwards() {
        let local_port = LocalPort::at(0, 8080).await.unwrap();
        let here = local_port.here;
        let _forward = Forward::by(
            says("exit 1".to_owned()),
            "service/shop".to_owned(),
            vec![local_port],
            None,
        );
        sleep(RETRY_DELAY).await;
        TcpListener::bind(("127.0.0.1", here)).await.unwrap_err();
    }
}
