//! The measured numbers, as a table and as JSON.

use std::{collections::BTreeMap, fs};

use serde::Serialize;

/// One measured quantity, with a value of each repetition.
#[derive(Debug, Serialize)]
struct Measured {
    part: String,
    name: String,
    unit: &'static str,
    median: f64,
    min: f64,
    max: f64,
    values: Vec<f64>,
}

/// The numbers of a run, with what they were measured on.
#[derive(Debug, Serialize)]
pub struct BenchReport {
    machine: BTreeMap<&'static str, String>,
    settings: BTreeMap<&'static str, String>,
    measured: Vec<Measured>,
}

impl BenchReport {
    pub fn new() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text
                .lines()
                .find(|line| line.starts_with(name))
                .unwrap_or_default();
            line.split_once(':')
                .map_or_else(String::new, |(_, value)| value.trim().to_owned())
        };
        let processors = std::thread::available_parallelism().map_or(0, usize::from);
        let machine = [
            ("processors", processors.to_string()),
            ("processor", field(&read("/proc/cpuinfo"), "model name")),
            ("memory", field(&read("/proc/meminfo"), "MemTotal")),
            (
                "kernel",
                read("/proc/sys/kernel/osrelease").trim().to_owned(),
            ),
            (
                "load before",
                read("/proc/loadavg")
                    .split(' ')
                    .take(3)
                    .collect::<Vec<_>>()
                    .join(" "),
            ),
        ];
        Self {
            machine: machine.into(),
            settings: BTreeMap::new(),
            measured: Vec::new(),
        }
    }

    pub fn setting(&mut self, name: &'static str, value: impl Into<String>) {
        self.settings.insert(name, value.into());
    }

    /// Adds a number; one of the same part and name is a further repetition.
    pub fn number(&mut self, part: &str, name: &str, unit: &'static str, value: f64) {
        let known = self
            .measured
            .iter()
            .position(|known| known.part == part && known.name == name);
        let index = known.unwrap_or(self.measured.len());
        if known.is_none() {
            self.measured.push(Measured {
                part: part.to_owned(),
                name: name.to_owned(),
                unit,
                median: 0.0,
                min: 0.0,
                max: 0.0,
                values: Vec::new(),
            });
        }
        let measured = &mut self.measured[index];
        measured.values.push(round(value));
        let mut sorted = measured.values.clone();
        sorted.sort_by(f64::total_cmp);
        measured.median = sorted[sorted.len() / 2];
        measured.min = sorted[0];
        measured.max = sorted[sorted.len() - 1];
    }

    /// Adds the 50th and the 99th percentile of `values`.
    pub fn percentiles(&mut self, part: &str, name: &str, unit: &'static str, values: &mut [f64]) {
        for percent in [50, 99] {
            self.number(
                part,
                &format!("{name} p{percent}"),
                unit,
                percentile(values, percent),
            );
        }
    }

    pub fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            println!("{}", serde_json::to_string_pretty(self)?);
            return Ok(());
        }
        for (name, value) in self.machine.iter().chain(&self.settings) {
            println!("{name:<24}{value}");
        }
        let mut part = "";
        for measured in &self.measured {
            if part != measured.part {
                part = &measured.part;
                println!("\n{part}");
            }
            let spread = match measured.values.len() {
                1 => String::new(),
                runs => format!(
                    "{} to {} in {runs} runs",
                    shown(measured.min),
                    shown(measured.max)
                ),
            };
            println!(
                "  {:<46}{:>12} {:<10}{spread}",
                measured.name,
                shown(measured.median),
                measured.unit
            );
        }
        Ok(())
    }
}

fn shown(value: f64) -> String {
    if value >= 1000.0 {
        format!("{value:.0}")
    } else {
        format!("{value}")
    }
}

/// Rounds to three digits after the point; from 1000 on to whole numbers.
fn round(value: f64) -> f64 {
    if value.abs() >= 1000.0 {
        value.round()
    } else {
        (value * 1000.0).round() / 1000.0
    }
}

/// The value below which `percent` of the values are.
pub fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let index = (values.len() * percent / 100).min(values.len().saturating_sub(1));
    values.get(index).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_values() {
        let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert!((percentile(&mut values, 50) - 51.0).abs() < 0.01);
        assert!((percentile(&mut values, 99) - 100.0).abs() < 0.01);
    }

    #[test]
    fn repetitions_are_shown_by_their_median() {
        let mut report = BenchReport::new();
        for value in [3.0, 1.0, 2.0] {
            report.number("part", "name", "s", value);
        }
        let [one] = &report.measured[..] else {
            panic!("one number")
        };
        assert_eq!((one.median, one.min, one.max), (2.0, 1.0, 3.0));
    }
}
