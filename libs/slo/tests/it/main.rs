//! The files under `grafana` are what the objectives generate, and they work: tried with
//! Prometheus' promtool and a real Alertmanager, where these are installed.
#![expect(clippy::unwrap_used, reason = "a test ends with its first surprise")]

mod alerts;
mod generated;
mod inhibition;
mod outages;
mod panels;

use std::process::{Command, Stdio};

/// Whether a program is installed; prints a line if it is not.
fn is_installed(program: &str, package: &str) -> bool {
    let asked = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if asked.is_err() {
        eprintln!("skipped: no `{program}` on the PATH (on Debian: apt-get install {package})");
    }
    asked.is_ok()
}

/// Runs a program in the folder `grafana`; panics with its output if it fails.
fn run(program: &str, arguments: &[&str]) {
    let ran = Command::new(program)
        .args(arguments)
        .current_dir(slo::folder())
        .output()
        .unwrap();
    assert!(
        ran.status.success(),
        "{program} {arguments:?}:\n{}{}",
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
}
