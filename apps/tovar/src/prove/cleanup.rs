//! Commands that undo what must not stay behind, also if the prover is killed.

use std::{
    ffi::OsStr,
    os::unix::process::CommandExt,
    process::{Child, ChildStdin, Command, Stdio},
};

use anyhow::Context;

/// A shell that runs a line when this is dropped or when this process has ended in any way: it
/// reads from a pipe that only this process holds.
pub struct Cleanup {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Cleanup {
    /// Starts the shell. In `line`, $1 is `argument`.
    pub fn run(line: &str, argument: impl AsRef<OsStr>) -> anyhow::Result<Self> {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("read -r _; {line}"), "sh"])
            .arg(argument)
            // A terminal's Ctrl-C must reach only this process.
            .process_group(0)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let mut shell = shell.spawn().context("sh cannot be started")?;
        let pipe = shell.stdin.take();
        Ok(Self { shell, pipe })
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        self.pipe = None;
        let _ = self.shell.wait();
    }
}
