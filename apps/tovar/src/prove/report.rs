//! The result of a run, and how much it proves.

use std::{collections::BTreeMap, fmt::Write};

use clap::ValueEnum;
use serde::Serialize;

use super::fault::Fault;

#[derive(Clone, Debug, Default, Serialize)]
pub struct FaultRuns {
    pub count: u32,
    /// The longest time from a repair until all committed events were applied, in seconds.
    pub longest_recovery: f64,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct ProveReport {
    pub seed: u64,
    pub seconds: f64,
    pub faults: BTreeMap<Fault, FaultRuns>,
    /// Faults that this machine cannot cause.
    pub skipped: Vec<Fault>,
    pub committed: usize,
    pub rolled_back: usize,
    pub on_topic: usize,
    pub duplicates: u64,
    pub violations: Vec<String>,
}

impl ProveReport {
    pub fn count(&mut self, fault: Fault, recovery: f64) {
        let runs = self.faults.entry(fault).or_default();
        runs.count += 1;
        runs.longest_recovery = runs.longest_recovery.max(recovery);
    }

    pub fn text(&self) -> String {
        let mut text = format!(
            "{:<28} {:>6} {:>18}  fails in fewer than (95 %)\n",
            "fault", "clean", "longest recovery"
        );
        for (fault, runs) in &self.faults {
            let _ = writeln!(
                text,
                "{:<28} {:>6} {:>16.1} s  {}",
                name(*fault),
                runs.count,
                runs.longest_recovery,
                bound(runs.count)
            );
        }
        for fault in &self.skipped {
            let _ = writeln!(text, "{:<28} skipped", name(*fault));
        }
        let total = self.faults.values().map(|runs| runs.count).sum();
        let longest = self.faults.values().map(|runs| runs.longest_recovery);
        let _ = writeln!(
            text,
            "{:<28} {total:>6} {:>16.1} s  {}\n",
            "all",
            longest.fold(0.0, f64::max),
            bound(total)
        );
        let _ = write!(
            text,
            "{} events committed, {} rolled back, in {:.0} s; {} on the topic when it was last \
             read, just before, and {} of them more than once; seed {}",
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

/// The rule of three: a fault that was clean n times out of n fails, at 95 % confidence, in fewer
/// than 3 of n runs.
fn bound(clean: u32) -> String {
    if clean < 4 {
        return "-".to_owned();
    }
    format!("{:.1} %", 300.0 / f64::from(clean))
}
