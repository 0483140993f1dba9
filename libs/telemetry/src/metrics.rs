//! How a process declares its metrics, and those that every process has.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use prometheus_client::{
    collector::Collector,
    encoding::DescriptorEncoder,
    metrics::{gauge::ConstGauge, info::Info},
    registry::{Registry, Unit},
};

use crate::{process::Process, shown::show, traces};

/// Declares a struct of metrics whose help texts are the doc comments of its fields, with a
/// function `registered` that makes and registers all of them.
///
/// ```
/// # use prometheus_client::metrics::{counter::Counter, histogram::Histogram};
/// # use prometheus_client::registry::Registry;
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
/// let help = "# HELP letter_delay_seconds Time from the writing of a letter to its posting.";
/// assert!(text.contains(help));
/// assert!(text.contains("letters_total 1"));
/// ```
#[macro_export]
macro_rules! metrics {
    (
        $(#[$about:meta])*
        $vis:vis struct $name:ident {
            $(
                $(#[doc = $help:literal])+
                $field:ident : $type:ty = $metric:literal $(in $unit:ident)? $(, $make:expr)?;
            )+
        }
    ) => {
        $(#[$about])*
        $vis struct $name {
            $( $(#[doc = $help])+ pub $field: $type, )+
        }
        impl $name {
            /// New, and shown by `registry`.
            $vis fn registered(
                registry: &mut $crate::prometheus_client::registry::Registry,
            ) -> Self {
                let metrics = Self { $( $field: $crate::metrics!(@make $type $(, $make)?), )+ };
                $(
                    let help = [$($help),+].map(str::trim).join(" ");
                    $crate::metrics!(
                        @register registry, $metric, help, metrics.$field.clone() $(, $unit)?
                    );
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
        $registry.register_with_unit(
            $metric,
            $help,
            $crate::prometheus_client::registry::Unit::$unit,
            $value,
        )
    };
}

/// The registry of a process's metrics. Their names begin with `tovar_`, and their labels name the
/// process, such as `relay`, and its service. The metrics of every process are in it already: its
/// build, its CPU time and memory, its trace spans.
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

/// The age of a reading that is taken at an interval, as a metric: the values that were read are
/// that old.
#[derive(Clone, Debug)]
pub struct ReadingAge {
    name: &'static str,
    help: &'static str,
    /// When the process took or found the reading, and its age at that time.
    taken: Arc<Mutex<(Instant, Duration)>>,
}

impl ReadingAge {
    /// Registers the age of a reading that is taken now.
    pub fn registered(registry: &mut Registry, name: &'static str, help: &'static str) -> Self {
        let age = Self {
            name,
            help,
            taken: Arc::new(Mutex::new((Instant::now(), Duration::ZERO))),
        };
        registry.register_collector(Box::new(age.clone()));
        age
    }

    /// Notes that the reading was taken now.
    pub fn renew(&self) {
        self.renew_as_of(Duration::ZERO);
    }

    /// Notes that a reading was found that was taken so long ago.
    pub fn renew_as_of(&self, ago: Duration) {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now(), ago);
    }

    /// The age of the reading.
    pub fn age(&self) -> Duration {
        let (found, ago) = *self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        found.elapsed() + ago
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
