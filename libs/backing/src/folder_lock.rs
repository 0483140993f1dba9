use std::{
    fs,
    io::{self, Read, Seek, Write},
    os::{fd::OwnedFd, unix::process::CommandExt},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::time::Instant;

use crate::private;

/// The lock on a server's folder: an open file that this process shares with the shell that guards
/// the server. The folder is free when both have ended.
#[derive(Debug)]
pub struct FolderLock(OwnedFd);

/// Removes the folders $1… when its standard input ends; in the background, so that its parent does
/// not wait for it.
const REMOVER: &str = r#"exec 3<&0; (cat <&3; rm -rf "$@") >/dev/null 2>&1 &"#;

/// How long to wait for the servers of a process that has ended: they get 20 s to stop.
const ORPHAN_WAIT_MAX: Duration = Duration::from_secs(25);
/// How long to wait while the owner runs, which may be stopping its server.
const OWNER_WAIT_MAX: Duration = Duration::from_secs(2);

impl FolderLock {
    /// Locks folders that are removed when the lock is free.
    pub fn remove_when_free(folders: &[&Path]) -> anyhow::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let mut remover = Command::new("sh");
        remover
            .args(["-c", REMOVER, "sh"])
            .args(folders)
            .current_dir("/");
        remover
            .process_group(0)
            .stdin(reader)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        remover.status().context("sh cannot be run")?;
        Ok(Self(writer.into()))
    }

    /// Locks a folder that stays. An error if another process has the lock for too long.
    pub async fn acquire(folder: &Path) -> anyhow::Result<Self> {
        let mut file = private::open(&folder.join("lock"))?;
        let begin = Instant::now();
        while file.try_lock().is_err() {
            let mut owner = String::new();
            file.rewind()?;
            file.read_to_string(&mut owner)?;
            let wait_max = if is_alive(&owner) {
                OWNER_WAIT_MAX
            } else {
                ORPHAN_WAIT_MAX
            };
            if begin.elapsed() > wait_max {
                bail!(
                    "a server of process {owner} runs in {} already; stop it first",
                    folder.display()
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        file.rewind()?;
        file.set_len(0)?;
        write!(file, "{}", std::process::id())?;
        Ok(Self(file.into()))
    }

    /// The lock as the standard error of the shell that guards a server.
    pub fn share(&self) -> io::Result<Stdio> {
        Ok(self.0.try_clone()?.into())
    }
}

fn is_alive(owner: &str) -> bool {
    owner
        .parse::<u32>()
        .is_ok_and(|pid| fs::exists(format!("/proc/{pid}")).unwrap_or(false))
}
