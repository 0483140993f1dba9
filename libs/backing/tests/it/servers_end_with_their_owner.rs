use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use crate::wait::until;

const READY: &str = "ports:";

/// Not a test: what the tests below run in a process of its own, to kill it.
#[tokio::test]
#[ignore = "runs until it is killed"]
async fn owner() {
    let (postgres, kafka) = tokio::try_join!(backing::own_postgres(), backing::own_kafka()).unwrap();
    let _session = postgres.connect("postgres").await.unwrap();
    if std::env::var_os("FREEZE").is_some() {
        postgres.freeze().await.unwrap();
        kafka.freeze().await.unwrap();
    }
    eprintln!(
        "{READY}{} {}",
        postgres.port(),
        kafka.bootstrap().rsplit_once(':').unwrap().1
    );
    std::future::pending::<()>().await;
}

async fn end_with_their_owner(freeze: bool) {
    // Throw-away data lie here, so that their end can be seen.
    let home = tempfile::tempdir().unwrap();
    let temporary = std::fs::canonicalize(home.path()).unwrap();
    open_to_all(&temporary);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        "--exact",
        "servers_end_with_their_owner::owner",
        "--ignored",
        "--nocapture",
    ]);
    command
        .env("TMPDIR", &temporary)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    if freeze {
        command.env("FREEZE", "1");
    }
    let start = move || {
        let mut owner = command.spawn().unwrap();
        let mut said = Vec::new();
        for line in BufReader::new(owner.stderr.take().unwrap()).lines() {
            let line = line.unwrap();
            if let Some(ports) = line.strip_prefix(READY) {
                let ports: Vec<u16> = ports.split(' ').map(|port| port.parse().unwrap()).collect();
                return (owner, ports);
            }
            said.push(line);
        }
        panic!("the owner ended: {said:#?}");
    };
    let (mut owner, ports) = tokio::task::spawn_blocking(start).await.unwrap();
    owner.kill().unwrap();
    owner.wait().unwrap();

    for port in ports {
        let gone = || async move { tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() };
        until("the server ends", Duration::from_secs(30), gone).await;
    }
    let empty = || async { left_in(&temporary).is_empty() };
    until("throw-away data are removed", Duration::from_secs(30), empty).await;
}

fn open_to_all(folder: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn left_in(folder: &std::path::Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect()
}

#[tokio::test]
async fn servers_end_with_their_owner() {
    end_with_their_owner(false).await;
}

#[tokio::test]
async fn frozen_servers_end_with_their_owner() {
    end_with_their_owner(true).await;
}

/// Not a test either.
#[test]
#[ignore = "runs until it is killed"]
fn owner_of_a_program() {
    let program = backing::tethered(std::path::Path::new("sleep"))
        .arg("3600")
        .spawn()
        .unwrap();
    eprintln!("{READY}{}", program.id());
    std::thread::sleep(Duration::from_secs(3600));
}

#[tokio::test]
async fn a_tethered_program_ends_with_its_owner() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        "--exact",
        "servers_end_with_their_owner::owner_of_a_program",
        "--ignored",
        "--nocapture",
    ]);
    let mut owner = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stderr.take().unwrap()).lines();
    let pid = lines
        .map(Result::unwrap)
        .find_map(|line| line.strip_prefix(READY).map(str::to_owned))
        .unwrap();
    // A zombie's is empty; it takes a moment to become `sleep`.
    let asleep = || async {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"sleep"))
    };
    until("the program runs", Duration::from_secs(10), asleep).await;
    owner.kill().unwrap();
    owner.wait().unwrap();
    until("the program ends", Duration::from_secs(10), || async {
        !asleep().await
    })
    .await;
}
