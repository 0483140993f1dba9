use std::sync::atomic::{AtomicI64, AtomicU64};

use kernel::Clock;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{
        counter::Counter,
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
    },
    registry::{Registry, Unit},
};
use std::sync::Arc;

/// Edges of the time from insert to acknowledgement in seconds; that of the service level objective is among them.
const ACK_EDGES: [f64; 14] = [
    0.001, 0.002, 0.004, 0.006, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 30.0,
];

#[derive(Clone, Debug)]
pub struct RelayMetrics {
    pub sent: Counter,
    pub batches: Counter,
    pub insert_to_ack: Histogram,
    pub waiting: Gauge,
    pub parked: Gauge,
    pub leader: Gauge,
    pub outage: Gauge<i64, AtomicI64>,
    pub promotions: Counter<u64, AtomicU64>,
    pub oldest: Oldest,
}

/// When the oldest event that is read and not acknowledged was recorded, in microseconds since 1970; 0 for none. Its
/// age grows also while the relay is stuck, because it is reckoned when it is asked for.
#[derive(Clone, Debug, Default)]
pub struct Oldest(Arc<AtomicI64>);

impl Oldest {
    pub fn set(&self, recorded_at_micros: i64) {
        self.0
            .store(recorded_at_micros, std::sync::atomic::Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct OldestAge {
    oldest: Oldest,
    clock: Clock,
}

impl Collector for OldestAge {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let oldest = self.oldest.0.load(std::sync::atomic::Ordering::Relaxed);
        let age = if oldest == 0 {
            0
        } else {
            (self.clock.now().timestamp_micros() - oldest).max(0)
        };
        #[expect(
            clippy::cast_precision_loss,
            reason = "a microsecond more or less in a century does not matter"
        )]
        let gauge = ConstGauge::new(age as f64 / 1e6);
        let help = "Age of the oldest event that Kafka has not acknowledged";
        let encoder =
            encoder.encode_descriptor("oldest_age", help, Some(&Unit::Seconds), gauge.metric_type())?;
        gauge.encode(encoder)
    }
}

impl RelayMetrics {
    /// What only the active relay knows.
    pub fn lost_the_lead(&self) {
        self.leader.set(0);
        self.waiting.set(0);
        self.parked.set(0);
        self.oldest.set(0);
    }

    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            sent: Counter::default(),
            batches: Counter::default(),
            insert_to_ack: Histogram::new(ACK_EDGES),
            waiting: Gauge::default(),
            parked: Gauge::default(),
            leader: Gauge::default(),
            outage: Gauge::default(),
            promotions: Counter::default(),
            oldest: Oldest::default(),
        };
        registry.register("sent", "Events that Kafka acknowledged", metrics.sent.clone());
        registry.register("batches", "Reads that found events", metrics.batches.clone());
        let help = "Time from an event's insert to Kafka's acknowledgement";
        registry.register_with_unit(
            "insert_to_ack",
            help,
            Unit::Seconds,
            metrics.insert_to_ack.clone(),
        );
        registry.register(
            "waiting",
            "Events that are read and not acknowledged",
            metrics.waiting.clone(),
        );
        registry.register(
            "parked_keys",
            "Keys whose events are parked",
            metrics.parked.clone(),
        );
        registry.register(
            "leader",
            "1 while this is the active relay of its database",
            metrics.leader.clone(),
        );
        registry.register(
            "outage",
            "1 while no broker can be reached",
            metrics.outage.clone(),
        );
        registry.register(
            "promotions",
            "Promotions of the database that were gone on from",
            metrics.promotions.clone(),
        );
        registry.register_collector(Box::new(OldestAge {
            oldest: metrics.oldest.clone(),
            clock: Clock::system(),
        }));
        metrics
    }
}
