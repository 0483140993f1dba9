use std::fs;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::store_file::StoreFile;

/// A process of the store that is stopped (SIGSTOP) until this is dropped.
pub struct Frozen(Pid);

impl Frozen {
    /// Stops a service that runs on this machine as a child of the store's `up`; `None` if there is
    /// none.
    pub fn service(store: &StoreFile, name: &str) -> Option<Self> {
        let up = i32::try_from(store.pid).ok()?;
        let pid = children(up)
            .into_iter()
            .find(|pid| program(*pid).as_deref() == Some(name))?;
        let pid = Pid::from_raw(pid);
        kill(pid, Signal::SIGSTOP).ok().map(|()| Self(pid))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // An error means that the process has ended.
        let _ = kill(self.0, Signal::SIGCONT);
    }
}

fn children(parent: i32) -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

fn parent_of(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    line.trim().parse().ok()
}

fn program(pid: i32) -> Option<String> {
    let path = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    Some(path.file_name()?.to_str()?.to_owned())
}
