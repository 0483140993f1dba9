use std::{path::PathBuf, process::Stdio};

use anyhow::{Context, bail};
use tokio::process::Command;

use crate::{cargo, services::SERVICES};

/// Builds every binary of the store with the cargo that started this program; returns their folder.
pub async fn build(release: bool) -> anyhow::Result<PathBuf> {
    let mut command = Command::from(cargo::command());
    command.args([
        "build",
        "--bins",
        // This package too: see its Cargo.toml.
        "--package",
        "tovar",
        "--package",
        "outbox-relay",
        "--package",
        "gateway",
    ]);
    for service in SERVICES {
        command.args(["--package", service.name]);
    }
    if release {
        command.arg("--release");
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    let status = command
        .status()
        .await
        .context("cargo cannot be run; is Rust installed?")?;
    if !status.success() {
        bail!("the build failed; see above");
    }
    // This binary is in the same target folder, in the folder of its own profile.
    let here = std::env::current_exe().context("where this program lies")?;
    let target = here
        .parent()
        .and_then(|profile| profile.parent())
        .context("this program lies in no target folder")?;
    Ok(target.join(if release { "release" } else { "debug" }))
}
