//! How a process declares its metrics, and those that every process has.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge, info::Info},
    registry::{Registry, Unit},
};

use crate::traces;

/// Declares a struct of metrics whose help texts are the doc comments of its fields, with a
/// function `registered` that makes and registers all of them.
///
/// ```
/// # use prometheus_client::{metrics::{counter::Counter, histogram::Histogram}, registry::Registry};
/// telemetry::metrics! {
///     struct Mail {
///         /// Letters that were sent
///         letters: Counter = "letters";
///         /// Time from the writing of a letter to its posting
///         delay: Histogram = "letter_delay" in Seconds, Histogram::new([1.0, 60.0]);
///     }
/// }
/// let mut registry = Registry::default();
/// Mail::registered(&mut registry).letters.inc();
/// let mut text = String::new();
/// prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
/// assert!(text.contains("# HELP letter_delay_seconds Time from the writing of a letter to its posting."));
/// assert!(text.contains("letters_total 1"));
/// ```
#[macro_export]
macro_rules! metrics {
    (
        $(#[$about:meta])*
        $vis:vis struct $name:ident {
            $( $(#[doc = $help:literal])+ $field:ident : $type:ty = $metric:literal $(in $unit:ident)? $(, $make:expr)?; )+
        }
    ) => {
        $(#[$about])*
        $vis struct $name {
            $( $(#[doc = $help])+ pub $field: $type, )+
        }
        impl $name {
            /// New, and shown by `registry`.
            $vis fn registered(registry: &mut $crate::prometheus_client::registry::Registry) -> Self {
                let metrics = Self { $( $field: $crate::metrics!(@make $type $(, $make)?), )+ };
                $(
                    let help = [$($help),+].map(str::trim).join(" ");
                    $crate::metrics!(@register registry, $metric, help, metrics.$field.clone() $(, $unit)?);
                )+
                metrics
            }
        }
    };
    (@make $type:ty, $make:expr) => { $make };
    (@make $type:ty) => { <$type>::default() };
    (@register $registry:ident, $metric:literal, $help:ident, $value:expr) => {
        $registry.register($metric, $help, $value)
    };
    (@register $registry:ident, $metric:literal, $help:ident, $value:expr, $unit:ident) => {
        $registry.register_with_unit($metric, $help, $crate::prometheus_client::registry::Unit::$unit, $value)
    };
}

/// The metrics of a process, all called `tovar_…` and labelled with what it is, such as `relay`,
/// and of which service. It shows from the start what every process shows: its build, what it
/// costs, and what became of its trace spans.
pub fn registry(process: &'static str, service: &str) -> Registry {
    let labels = [
        ("process".into(), process.into()),
        ("service".into(), service.to_owned().into()),
    ];
    let mut registry = Registry::with_prefix_and_labels("tovar", labels.into_iter());
    let build = Info::new([
        ("version", env!("CARGO_PKG_VERSION")),
        (
            "revision",
            option_env!("TOVAR_REVISION").unwrap_or("unknown"),
        ),
    ]);
    registry.register("build", "The release that runs", build);
    registry.register_collector(Box::new(Process));
    registry.register_collector(Box::new(traces::Exported));
    registry
}

/// Shows one number that is known only when it is asked for.
pub fn show(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    // As the registry ends those of registered metrics.
    let encoder =
        encoder.encode_descriptor(name, &format!("{help}."), unit, metric.metric_type())?;
    metric.encode(encoder)
}

/// How old a reading is that is made now and then: what is shown of it is that old.
#[derive(Clone, Debug)]
pub struct ReadingAge {
    name: &'static str,
    help: &'static str,
    /// When it was made or heard of, and how old it was by then.
    made: Arc<Mutex<(Instant, Duration)>>,
}

impl ReadingAge {
    /// A reading that begins now.
    pub fn registered(registry: &mut Registry, name: &'static str, help: &'static str) -> Self {
        let age = Self {
            name,
            help,
            made: Arc::new(Mutex::new((Instant::now(), Duration::ZERO))),
        };
        registry.register_collector(Box::new(age.clone()));
        age
    }

    /// The reading was made.
    pub fn renew(&self) {
        self.renew_as_of(Duration::ZERO);
    }

    /// A reading was found that was made so long ago.
    pub fn renew_as_of(&self, ago: Duration) {
        *self
            .made
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = (Instant::now(), ago);
    }

    /// How old the reading is.
    pub fn age(&self) -> Duration {
        let (heard, ago) = *self
            .made
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        heard.elapsed() + ago
    }
}

impl Collector for ReadingAge {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let age = ConstGauge::new(self.age().as_secs_f64());
        show(
            &mut encoder,
            self.name,
            self.help,
            Some(&Unit::Seconds),
            &age,
        )
    }
}

/// What the kernel counts of this process. Where there is no /proc, nothing is shown.
#[derive(Debug)]
struct Process;

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
