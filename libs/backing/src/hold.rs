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

/// An open file that we and the shells beside our servers hold together. Whoever waits for its end
/// waits until the last of us is gone: neither we alone nor a server alone decides when a folder is
/// free.
#[derive(Debug)]
pub struct Hold(OwnedFd);

/// $1… folders. It goes into the background, so that nobody has to wait for it.
const REMOVER: &str = r#"exec 3<&0; (cat <&3; rm -rf "$@") >/dev/null 2>&1 &"#;

/// How long to wait for servers of a process that is gone: they get 20 s to end.
const ORPHANS: Duration = Duration::from_secs(25);
/// How long to wait while the owner lives, who may be ending them just now.
const OWNED: Duration = Duration::from_secs(2);

impl Hold {
    /// Folders that are removed when nobody holds on any more.
    pub fn throw_away(folders: &[&Path]) -> anyhow::Result<Self> {
        let (ears, hold) = io::pipe()?;
        let mut remover = Command::new("sh");
        remover
            .args(["-c", REMOVER, "sh"])
            .args(folders)
            .current_dir("/");
        remover
            .process_group(0)
            .stdin(ears)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        remover.status().context("sh cannot be run")?;
        Ok(Self(hold.into()))
    }

    /// A folder that stays, and that nobody else can use for a server meanwhile.
    pub async fn keep(folder: &Path) -> anyhow::Result<Self> {
        let mut file = private::open(&folder.join("lock"))?;
        let begin = Instant::now();
        while file.try_lock().is_err() {
            let mut owner = String::new();
            file.rewind()?;
            file.read_to_string(&mut owner)?;
            let patience = if lives(&owner) { OWNED } else { ORPHANS };
            if begin.elapsed() > patience {
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

    /// For the shell beside a server.
    pub fn share(&self) -> io::Result<Stdio> {
        Ok(self.0.try_clone()?.into())
    }
}

fn lives(owner: &str) -> bool {
    owner
        .parse::<u32>()
        .is_ok_and(|pid| fs::exists(format!("/proc/{pid}")).unwrap_or(false))
}
