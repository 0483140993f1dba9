use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use backing::ServerKind;

use crate::wait::until;

const READY: &str = "ports:";

/// Not a test: the tests below run this in another process, which they kill.
#[tokio::test]
#[ignore = "runs until it is killed"]
async fn owner() {
    let (postgres, kafka) =
        tokio::try_join!(backing::own_postgres(), backing::own_kafka()).unwrap();
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

/// Starts a process that starts servers, kills it, and returns the ports of its servers.
async fn killed_owner(settings: &[(&str, &Path)]) -> Vec<u16> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        "--exact",
        "servers_end_with_their_owner::owner",
        "--ignored",
        "--nocapture",
    ]);
    command
        .envs(settings.iter().copied())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let start = move || {
        let mut owner = command.spawn().unwrap();
        let lines = BufReader::new(owner.stderr.take().unwrap())
            .lines()
            .map(Result::unwrap);
        let mut said = Vec::new();
        let ports = lines
            .inspect(|line| said.push(line.clone()))
            .find_map(|line| Some(line.strip_prefix(READY)?.to_owned()));
        owner.kill().unwrap();
        owner.wait().unwrap();
        let ports = ports.unwrap_or_else(|| panic!("the owner ended: {said:#?}"));
        ports.split(' ').map(|port| port.parse().unwrap()).collect()
    };
    tokio::task::spawn_blocking(start).await.unwrap()
}

async fn answers(port: u16) -> bool {
    tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .is_ok()
}

async fn end_with_their_owner(settings: &[(&str, &Path)]) {
    // Temporary data lie here, so that the test sees that they are removed.
    let home = tempfile::tempdir().unwrap();
    let temporary = std::fs::canonicalize(home.path()).unwrap();
    open_to_all(&temporary);
    let settings: Vec<_> = settings
        .iter()
        .copied()
        .chain([("TMPDIR", temporary.as_path())])
        .collect();
    for port in killed_owner(&settings).await {
        // A frozen server stops too, before the 20 s after which it would be killed.
        until("the server ends", Duration::from_secs(15), || async move {
            !answers(port).await
        })
        .await;
    }
    let empty = || async { left_in(&temporary).is_empty() };
    until(
        "throw-away data are removed",
        Duration::from_secs(30),
        empty,
    )
    .await;
}

fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn left_in(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect()
}

#[tokio::test]
async fn servers_end_with_their_owner() {
    end_with_their_owner(&[]).await;
}

#[tokio::test]
async fn frozen_servers_end_with_their_owner() {
    end_with_their_owner(&[("FREEZE", Path::new("1"))]).await;
}

/// Without the command `docker` a container stays when its owner has ended; the next start removes
/// it.
#[tokio::test]
async fn containers_of_dead_owners_are_swept_up() {
    if ServerKind::detect().await.unwrap() == ServerKind::Local {
        return;
    }
    let only_sh = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/bin/sh", only_sh.path().join("sh")).unwrap();
    let ports = killed_owner(&[("PATH", only_sh.path())]).await;
    for port in &ports {
        assert!(answers(*port).await, "no shell guards it");
    }
    let _next = backing::own_postgres().await.unwrap();
    for port in ports {
        until("the server ends", Duration::from_secs(10), || async move {
            !answers(port).await
        })
        .await;
    }
}
