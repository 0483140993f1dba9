use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use nix::sys::signal::Signal;
use tokio::process::Command;

use super::{binaries, options::PostgresOptions};
use crate::{
    Progress,
    data_folder::{Unprivileged, claim, remembered_port},
    orphan_guard::Launch,
    private,
};

/// Creates a cluster if there is none. Returns how to start it, its port and its version.
pub async fn prepare(
    options: &PostgresOptions,
    progress: Progress<'_>,
) -> anyhow::Result<(Launch, u16, String)> {
    let user = Unprivileged::if_root()?;
    let bin = binaries::find(progress).await?;
    let (folder, lock) = claim(options.data.as_deref(), "postgres", user).await?;
    let cluster = folder.join("cluster");
    if !cluster.exists() {
        initialise(&bin, &folder, &cluster, &options.password, user).await?;
    }
    refuse_if_running(&cluster)?;
    let port = remembered_port(&folder, "port")?;
    let version = fs::read_to_string(cluster.join("PG_VERSION")).with_context(|| {
        format!(
            "{} is no PostgreSQL cluster; start anew with --fresh",
            cluster.display()
        )
    })?;
    let mut arguments = vec!["-D".to_owned(), cluster.display().to_string()];
    let port_text = port.to_string();
    let fixed = [
        ("port", port_text.as_str()),
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        ("lc_messages", "C"),
        ("logging_collector", "off"),
    ];
    for (name, value) in fixed.iter().chain(&options.settings) {
        arguments.extend(["-c".to_owned(), format!("{name}={value}")]);
    }
    let log = folder.join("postgres.log");
    private::log(&log)?;
    if let Some(user) = user {
        user.own(&log)?;
    }
    let launch = Launch {
        program: bin.join("postgres"),
        arguments,
        environment: vec![("LC_ALL".to_owned(), "C".to_owned())],
        log,
        user,
        stop: Signal::SIGINT,
        folder_lock: lock,
    };
    Ok((launch, port, version.trim().to_owned()))
}

async fn initialise(
    bin: &Path,
    folder: &Path,
    cluster: &Path,
    password: &str,
    user: Option<Unprivileged>,
) -> anyhow::Result<()> {
    // In a draft folder, so that an interrupted initdb leaves nothing that looks like a cluster.
    let draft = folder.join("cluster.draft");
    if draft.exists() {
        fs::remove_dir_all(&draft)?;
    }
    let secret: PathBuf = folder.join("password");
    private::write(&secret, password.as_bytes())?;
    let mut initdb = Command::new(bin.join("initdb"));
    initdb
        .args([
            "--username=postgres",
            "--auth=scram-sha-256",
            "--locale=C",
            "--encoding=UTF8",
            "--no-instructions",
        ])
        // Upper and lower case by the C library, for all of Unicode, as in the official image.
        .arg(format!("--lc-ctype={}", ctype().await))
        .arg(format!("--pwfile={}", secret.display()))
        .arg("-D")
        .arg(&draft)
        .kill_on_drop(true);
    if let Some(user) = user {
        user.own(&secret)?;
        initdb.uid(user.uid).gid(user.gid).current_dir("/");
    }
    let output = initdb.output().await.context("initdb cannot be run")?;
    fs::remove_file(&secret)?;
    if !output.status.success() {
        bail!(
            "initdb failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    fs::rename(&draft, cluster)?;
    Ok(())
}

/// The locale of the official image if this machine has it, else the Unicode locale without a
/// language.
async fn ctype() -> &'static str {
    let output = Command::new("locale").arg("-a").output().await;
    let known = output.map(|output| String::from_utf8_lossy(&output.stdout).to_lowercase());
    let known = known.unwrap_or_default();
    let has = |name: &str| known.lines().any(|line| line.replace('-', "") == name);
    match () {
        () if has("en_us.utf8") => "en_US.UTF-8",
        () if has("c.utf8") => "C.UTF-8",
        () => "C",
    }
}

fn refuse_if_running(cluster: &Path) -> anyhow::Result<()> {
    let file = cluster.join("postmaster.pid");
    let Ok(text) = fs::read_to_string(&file) else {
        return Ok(());
    };
    let pid = text
        .lines()
        .next()
        .and_then(|line| line.trim().parse::<i32>().ok());
    let command = pid
        .and_then(|pid| fs::read(format!("/proc/{pid}/cmdline")).ok())
        .unwrap_or_default();
    let is_ours = command
        .windows(cluster.as_os_str().len())
        .any(|part| part == cluster.as_os_str().as_encoded_bytes());
    if is_ours {
        bail!(
            "a PostgreSQL (process {}) runs in {} already; stop it first",
            pid.unwrap_or_default(),
            cluster.display()
        );
    }
    // The file is of a process that has ended. PostgreSQL would not start if another process had
    // its id by now.
    fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    Ok(())
}
