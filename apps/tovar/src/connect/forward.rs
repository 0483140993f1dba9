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

const PAUSE: Duration = Duration::from_millis(500);
/// Between two looks whether the program that forwards is there.
const LOOK: Duration = Duration::from_millis(50);
/// Between two words about what is waited for.
const SAY: Duration = Duration::from_secs(5);
/// A pod that takes this long for one word is no use either.
const PATIENCE: Duration = Duration::from_secs(10);

/// A port of this machine that is ours for as long as we run, and leads to one of a pod.
pub struct Door {
    listener: TcpListener,
    pub here: u16,
    there: u16,
}

impl Door {
    /// At this port, or at any that is free for 0.
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

/// Doors of this machine to a pod, for as long as this lives.
pub struct Forward {
    to: String,
    /// Ports of the pod.
    ports: Vec<u16>,
    asked: Option<u16>,
    way: Way,
    tasks: JoinSet<()>,
}

/// The program that forwards: what it has said last, its process, and where it listens for each
/// port of the pod.
#[derive(Clone, Default)]
struct Way(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    said: String,
    process: Option<u32>,
    ports: BTreeMap<u16, u16>,
}

impl Way {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It has ended.
    fn forget(&self) {
        let mut known = self.known();
        known.process = None;
        known.ports.clear();
    }

    /// Where it listens for a port of the pod: itself, and no other program that came to its port
    /// after its end.
    fn open(&self, there: u16) -> Option<u16> {
        let known = self.known();
        let (process, port) = (known.process?, *known.ports.get(&there)?);
        drop(known);
        listens(process, port).then_some(port)
    }
}

impl Forward {
    /// Leads each door to a pod of `to`. When that pod ends, the next is taken. The same when no
    /// request to `asked`, one of the doors' ports here, is answered any more.
    pub fn start(kubectl: Kubectl, to: String, doors: Vec<Door>, asked: Option<u16>) -> Self {
        let mut arguments = vec!["port-forward".to_owned(), to.clone()];
        arguments.extend(["--address".to_owned(), "127.0.0.1".to_owned()]);
        // It chooses a port itself and says which: between our choice and its start another program
        // could take it.
        arguments.extend(doors.iter().map(|door| format!(":{}", door.there)));
        let command = move || {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            kubectl.command(&arguments)
        };
        Self::by(command, to, doors, asked)
    }

    fn by(
        command: impl Fn() -> Command + Send + 'static,
        to: String,
        doors: Vec<Door>,
        asked: Option<u16>,
    ) -> Self {
        let way = Way::default();
        let ports = doors.iter().map(|door| door.there).collect();
        let mut tasks = JoinSet::new();
        for door in doors {
            tasks.spawn(lead(door, way.clone()));
        }
        tasks.spawn(keep_up(command, way.clone(), asked, PATIENCE));
        Self {
            to,
            ports,
            asked,
            way,
            tasks,
        }
    }

    /// Waits until all ports are open, and the one that is asked answers. Says now and then what it
    /// waits for, and why.
    pub async fn until_open(&self, within: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        let mut say = began + SAY;
        loop {
            let Err(error) = self.answers().await else {
                return Ok(());
            };
            let why = || match self.way.known().said.trim() {
                "" => format!("{error:#}; kubectl says nothing"),
                said => format!("{error:#}; kubectl says: {said}"),
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
        for there in &self.ports {
            let open = self.way.open(*there);
            open.with_context(|| format!("port {there} is not open"))?;
        }
        if let Some(port) = self.asked {
            let answer = timeout(SAY, reqwest::get(alive(port))).await;
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

/// Leads what comes to a door over to the program that forwards.
async fn lead(door: Door, way: Way) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((mut ours, _)) = door.listener.accept().await else {
            // Out of file descriptors: wait for some to be freed.
            sleep(PAUSE).await;
            continue;
        };
        let way = way.clone();
        connections.spawn(async move {
            // While the program is started anew. Who came is let go if that takes too long.
            let open = timeout(PATIENCE, async {
                loop {
                    match way.open(door.there) {
                        Some(port) => return port,
                        None => sleep(LOOK).await,
                    }
                }
            });
            let Ok(port) = open.await else { return };
            let Ok(mut theirs) = TcpStream::connect(("127.0.0.1", port)).await else {
                return;
            };
            // It may have ended, and another one have taken its port, before we came there.
            if way.open(door.there) == Some(port) {
                let _ = (ours.set_nodelay(true), theirs.set_nodelay(true));
                let _ = copy_bidirectional(&mut ours, &mut theirs).await;
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn keep_up(command: impl Fn() -> Command, way: Way, asked: Option<u16>, patience: Duration) {
    loop {
        // kubectl carries all connections over one. When that gets stuck, as after a client that
        // left in the midst of an answer, it goes on to take connections, and none of them leads
        // anywhere (kubernetes/kubectl#1620).
        tokio::select! {
            () = run(command(), &way) => {}
            () = silence(asked, patience) => {}
        }
        way.forget();
        sleep(PAUSE).await;
    }
}

/// Runs a program to its end, notes where it listens, and keeps its last words.
async fn run(mut command: Command, way: &Way) {
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            way.known().said = format!("it cannot be run: {error}");
            return;
        }
    };
    way.known().process = child.id();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ports = async {
        if let Some(stdout) = stdout {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                way.known().ports.extend(forwarded(&line));
            }
        }
    };
    let words = async {
        if let Some(stderr) = stderr {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                way.known().said = line;
            }
        }
    };
    tokio::join!(ports, words);
    // However it ended, it is started again.
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

/// Returns when a port has answered no request for so long.
async fn silence(port: Option<u16>, patience: Duration) {
    let Some(port) = port else {
        return std::future::pending().await;
    };
    let url = alive(port);
    // Whatever the answer is, it came through.
    let answer = async || {
        // By a client of its own, so over a new connection: those that are open may go on when no
        // other can be made.
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
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(200);

    /// Does what kubectl does: it listens at a port that it chose, and says so.
    const FORWARDS: &str = r#"
        use IO::Socket::INET;
        $| = 1;
        my $door = IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 9) or die;
        print "Forwarding from 127.0.0.1:", $door->sockport, " -> 8080\n";
        my @taken;
        while (my $connection = $door->accept) {
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

    /// How often a program that never ends is started in three seconds, while it takes connections,
    /// and answers or does not.
    async fn starts(answers: bool) -> usize {
        let door = Door::at(0, 8080).await.unwrap();
        let asked = Some(door.here);
        let started = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&started);
        let program = move || {
            counter.fetch_add(1, Ordering::Relaxed);
            forwards(answers)
        };
        let way = Way::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(lead(door, way.clone()));
        let patience = if answers { PATIENCE * 10 } else { PATIENCE };
        let _ = timeout(
            Duration::from_secs(3),
            keep_up(program, way, asked, patience),
        )
        .await;
        started.load(Ordering::Relaxed)
    }

    /// Why a forward was given up that was given a second.
    async fn given_up(program: impl Fn() -> Command + Send + 'static, asked: bool) -> String {
        let door = Door::at(0, 8080).await.unwrap();
        let asked = asked.then_some(door.here);
        let forward = Forward::by(program, "service/shop".to_owned(), vec![door], asked);
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
        let door = Door::at(0, 8080).await.unwrap();
        let here = door.here;
        let forward = Forward::by(
            || forwards(true),
            "service/shop".to_owned(),
            vec![door],
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

        let door = Door::at(0, 8080).await.unwrap();
        let here = door.here;
        let _forward = Forward::by(says(line), "service/shop".to_owned(), vec![door], None);
        let mut client = TcpStream::connect(("127.0.0.1", here)).await.unwrap();
        client.write_all(b"the manager's password").await.unwrap();
        let came = timeout(Duration::from_secs(2), async {
            let (mut connection, _) = other.accept().await.unwrap();
            let mut bytes = [0; 8];
            connection.read(&mut bytes).await.unwrap()
        });
        assert!(
            matches!(came.await, Err(_) | Ok(0)),
            "it was told something"
        );
    }

    /// The doors stay ours while the program is started anew.
    #[tokio::test]
    async fn a_door_is_nobody_else_s_while_nothing_forwards() {
        let door = Door::at(0, 8080).await.unwrap();
        let here = door.here;
        let _forward = Forward::by(
            says("exit 1".to_owned()),
            "service/shop".to_owned(),
            vec![door],
            None,
        );
        sleep(PAUSE).await;
        TcpListener::bind(("127.0.0.1", here)).await.unwrap_err();
    }
}
