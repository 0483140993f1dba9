//! What must not be left behind, also if the prover is killed.

use std::{
    ffi::OsStr,
    os::unix::process::CommandExt,
    process::{Child, ChildStdin, Command, Stdio},
};

use anyhow::Context;

/// A shell that runs a line when this is dropped, or when we are gone, however that happened: it
/// reads from a pipe that only we hold.
pub struct Afterwards {
    shell: Child,
    tether: Option<ChildStdin>,
}

impl Afterwards {
    /// In `line`, $1 is `argument`.
    pub fn run(line: &str, argument: impl AsRef<OsStr>) -> anyhow::Result<Self> {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("read -r _; {line}"), "sh"])
            .arg(argument)
            // A terminal's Ctrl-C is for us alone.
            .process_group(0)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let mut shell = shell.spawn().context("sh cannot be started")?;
        let tether = shell.stdin.take();
        Ok(Self { shell, tether })
    }
}

impl Drop for Afterwards {
    fn drop(&mut self) {
        self.tether = None;
        let _ = self.shell.wait();
    }
}
