//! What a run has shown, and how far that can be relied on.

use std::{collections::BTreeMap, fmt::Write};

use clap::ValueEnum;
use serde::Serialize;

use super::fault::Fault;

#[derive(Clone, Debug, Default, Serialize)]
pub struct Line {
    pub count: u32,
    /// Seconds from its healing until all that was committed was applied, at most.
    pub longest_recovery: f64,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    pub seed: u64,
    pub seconds: f64,
    pub faults: BTreeMap<Fault, Line>,
    /// What they need is not there.
    pub skipped: Vec<Fault>,
    pub committed: usize,
    pub rolled_back: usize,
    pub on_topic: usize,
    pub duplicates: u64,
    pub violations: Vec<String>,
}

impl Report {
    pub fn count(&mut self, fault: Fault, recovery: f64) {
        let line = self.faults.entry(fault).or_default();
        line.count += 1;
        line.longest_recovery = line.longest_recovery.max(recovery);
    }

    pub fn text(&self) -> String {
        let mut text = format!(
            "{:<28} {:>6} {:>18}  fails in fewer than (95 %)\n",
            "fault", "clean", "longest recovery"
        );
        for (fault, line) in &self.faults {
            let _ = writeln!(
                text,
                "{:<28} {:>6} {:>16.1} s  {}",
                name(*fault),
                line.count,
                line.longest_recovery,
                bound(line.count)
            );
        }
        for fault in &self.skipped {
            let _ = writeln!(text, "{:<28} skipped", name(*fault));
        }
        let total = self.faults.values().map(|line| line.count).sum();
        let longest = self.faults.values().map(|line| line.longest_recovery);
        let _ = writeln!(
            text,
            "{:<28} {total:>6} {:>16.1} s  {}\n",
            "all",
            longest.fold(0.0, f64::max),
            bound(total)
        );
        let _ = write!(
            text,
            "{} events committed, {} rolled back, in {:.0} s; {} on the topic when it was last read, just before, and {} of them more than once; seed {}",
            self.committed,
            self.rolled_back,
            self.seconds,
            self.on_topic,
            self.duplicates,
            self.seed
        );
        text
    }
}

pub fn name(fault: Fault) -> String {
    let value = fault.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

/// The rule of three: what was clean n times out of n fails, at 95 % confidence, in fewer than 3 of
/// n.
fn bound(clean: u32) -> String {
    if clean < 4 {
        return "-".to_owned();
    }
    format!("{:.1} %", 300.0 / f64::from(clean))
}
