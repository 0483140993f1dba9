use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::DescriptorEncoder,
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

use crate::shown::show;

/// The CPU time, memory and open files of this process, as the kernel counts them. Without /proc
/// there are no such metrics.
#[derive(Debug)]
pub(crate) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let Some(usage) = Usage::read(&stat) else {
            return Ok(());
        };
        let cpu = ConstCounter::new(usage.cpu_seconds);
        let help = "CPU time that the process has used";
        show(
            &mut encoder,
            "process_cpu",
            help,
            Some(&Unit::Seconds),
            &cpu,
        )?;
        let resident = ConstGauge::new(usage.resident_bytes);
        let help = "Memory of the process that is resident";
        show(
            &mut encoder,
            "process_resident_memory",
            help,
            Some(&Unit::Bytes),
            &resident,
        )?;
        let files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        let files = ConstGauge::new(i64::try_from(files).unwrap_or(i64::MAX));
        show(
            &mut encoder,
            "process_open_files",
            "Files and sockets that are open",
            None,
            &files,
        )
    }
}

struct Usage {
    cpu_seconds: f64,
    resident_bytes: i64,
}

impl Usage {
    /// From /proc/self/stat, proc(5): fields 14 and 15 are user and system time in clock ticks,
    /// which are hundredths of a second on every Linux that Rust runs on; field 24 is the resident
    /// set in pages.
    fn read(stat: &str) -> Option<Self> {
        const TICKS_PER_SECOND: f64 = 100.0;
        const PAGE: i64 = 4096;
        // The second field is the program's name in parentheses and may hold anything.
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<i64>().ok();
        #[expect(clippy::cast_precision_loss, reason = "ticks of centuries fit")]
        let cpu_seconds = (number(14)? + number(15)?) as f64 / TICKS_PER_SECOND;
        Some(Self {
            cpu_seconds,
            resident_bytes: number(24)? * PAGE,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_programs_name_does_not_shift_what_the_kernel_counts() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 4 0 999 1000 25 0";
        for name in ["orders", "a ) b", "a b c"] {
            let usage = Usage::read(&format!("7 ({name}) {rest}")).unwrap();
            assert!((usage.cpu_seconds - 2.0).abs() < 1e-9);
            assert_eq!(usage.resident_bytes, 25 * 4096);
        }
        assert!(Usage::read("").is_none());
    }
}
