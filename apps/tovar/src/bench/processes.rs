//! CPU and memory of processes, from the kernel.

use std::{collections::BTreeMap, fs, path::PathBuf};

use crate::services::SERVICES;

/// Clock ticks a second in `/proc/*/stat`. Linux shows 100 to programs, whatever its own tick is.
const TICKS: f64 = 100.0;

/// A process at one instant.
struct Seen {
    parent: u32,
    name: String,
    /// Seconds of CPU of its threads, and of children that have ended.
    cpu: f64,
}

/// All processes at one instant.
pub struct Processes(BTreeMap<u32, Seen>);

impl Processes {
    pub fn now() -> Self {
        let ids = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Self(ids.filter_map(|id| Some((id, seen(id)?))).collect())
    }

    /// Seconds of CPU of one process, without its children.
    pub fn cpu_of(&self, id: u32) -> f64 {
        self.0.get(&id).map_or(0.0, |seen| seen.cpu)
    }

    /// Seconds of CPU of PostgreSQL with all its sessions, also the ended ones.
    pub fn postgres(&self) -> f64 {
        self.below(std::process::id())
            .filter(|(_, seen)| seen.name == "postgres")
            .map(|(_, seen)| seen.cpu)
            .sum()
    }

    /// Seconds of CPU of the broker.
    pub fn kafka(&self) -> f64 {
        let brokers = self
            .below(std::process::id())
            .filter(|(id, seen)| is_broker(**id, &seen.name));
        brokers.map(|(_, seen)| seen.cpu).sum()
    }

    /// Seconds of CPU of all descendants of `root`, by kind of process.
    pub fn by_kind(&self, root: u32) -> BTreeMap<String, f64> {
        let mut kinds = BTreeMap::new();
        for (id, seen) in self.below(root) {
            let kind = match seen.name.as_str() {
                "postgres" => "PostgreSQL",
                name if is_broker(*id, name) => "Kafka",
                "outbox-relay" => "relays",
                "gateway" => "gateway",
                name if SERVICES.iter().any(|service| service.name == name) => name,
                _ => "other",
            };
            *kinds.entry(kind.to_owned()).or_default() += seen.cpu;
        }
        kinds
    }

    /// Descendants of a process.
    fn below(&self, root: u32) -> impl Iterator<Item = (&u32, &Seen)> {
        self.0.iter().filter(move |(_, seen)| {
            let parents =
                std::iter::successors(Some(seen.parent), |parent| Some(self.0.get(parent)?.parent));
            parents.take(64).any(|parent| parent == root)
        })
    }
}

fn seen(id: u32) -> Option<Seen> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name is in brackets, and may have some of its own.
    let (before, after) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |at: usize| Some(fields.get(at)?.parse::<f64>().ok()? / TICKS);
    let (own, ended) = (ticks(11)? + ticks(12)?, ticks(13)? + ticks(14)?);
    Some(Seen {
        parent: fields.get(1)?.parse().ok()?,
        name: before.split_once('(')?.1.to_owned(),
        cpu: own.max(of_threads(id)?) + ended,
    })
}

/// Seconds of CPU of a process's threads, to the nanosecond: `stat` counts whole ticks, which an
/// idle process may never fill. Threads that have ended are only in `stat`.
fn of_threads(id: u32) -> Option<f64> {
    let threads = fs::read_dir(format!("/proc/{id}/task")).ok()?.flatten();
    let nanoseconds = threads.filter_map(|thread| {
        let spent = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        spent.split_whitespace().next()?.parse::<f64>().ok()
    });
    Some(nanoseconds.sum::<f64>() / 1e9)
}

fn is_broker(id: u32, name: &str) -> bool {
    name == "java" && command(id).contains("kafka.Kafka")
}

fn command(id: u32) -> String {
    fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default()
}

/// Resident memory of a process, in kB.
pub fn resident(id: u32) -> u64 {
    status(id, "VmRSS:")
}

/// The highest resident memory that a process has had, in kB.
pub fn resident_at_most(id: u32) -> u64 {
    status(id, "VmHWM:")
}

pub fn status(id: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or_default()
}

/// The children of the process `parent`: id and program.
pub fn children_of(parent: u32) -> Vec<(u32, String)> {
    let Processes(all) = Processes::now();
    let children = all.iter().filter(|(_, seen)| seen.parent == parent);
    let program = |id: &u32| {
        let path: PathBuf = fs::read_link(format!("/proc/{id}/exe")).ok()?;
        Some((*id, path.file_name()?.to_str()?.to_owned()))
    };
    children.filter_map(|(id, _)| program(id)).collect()
}
