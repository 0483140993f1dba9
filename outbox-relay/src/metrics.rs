use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use kernel::Clock;
use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::{
        MetricType,
        counter::Counter,
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
    },
};

/// Bucket edges of the time from insert to acknowledgement, in seconds. The limit of the service
/// level objective is one of them.
const ACK_EDGES: [f64; 14] = [
    0.001, 0.002, 0.004, 0.006, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 30.0,
];

telemetry::metrics! {
    /// What a relay does.
    #[derive(Clone, Debug)]
    pub struct RelayMetrics {
        /// Events that Kafka acknowledged
        sent: Counter = "sent";
        /// Reads that found events
        batches: Counter = "batches";
        /// Time from an event's insert to Kafka's acknowledgement
        insert_to_ack: Histogram = "insert_to_ack" in Seconds, Histogram::new(ACK_EDGES);
        /// Events that are read and not acknowledged
        waiting: Gauge = "waiting";
        /// Keys whose events are parked
        parked: Gauge = "parked_keys";
        /// 1 while this relay leads on its database
        leader: Gauge = "leader";
        /// 1 while no broker can be reached, or brokers have not taken the oldest event in flight
        /// for 10 s
        outage: Gauge<i64, AtomicI64> = "outage";
        /// Promotions of the database that were gone on from
        promotions: Counter<u64, AtomicU64> = "promotions";
        /// Age of the oldest event that is read and that Kafka has not acknowledged
        oldest: Oldest = "oldest_age" in Seconds;
    }
}

/// When the oldest event that is read and not acknowledged was recorded, in microseconds since
/// 1970; 0 if there is none. The age is computed at each scrape, so that it grows also while the
/// relay is stuck.
#[derive(Clone, Debug)]
pub struct Oldest {
    recorded_at: Arc<AtomicI64>,
    clock: Clock,
}

impl Default for Oldest {
    fn default() -> Self {
        Self {
            recorded_at: Arc::default(),
            clock: Clock::system(),
        }
    }
}

impl Oldest {
    pub fn set(&self, recorded_at_micros: i64) {
        self.recorded_at
            .store(recorded_at_micros, Ordering::Relaxed);
    }
}

impl EncodeMetric for Oldest {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        let oldest = self.recorded_at.load(Ordering::Relaxed);
        let age = if oldest == 0 {
            0
        } else {
            (self.clock.now().timestamp_micros() - oldest).max(0)
        };
        #[expect(
            clippy::cast_precision_loss,
            reason = "a microsecond more or less in a century does not matter"
        )]
        ConstGauge::new(age as f64 / 1e6).encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

impl RelayMetrics {
    /// Clears the metrics that only the leader knows.
    pub fn clear_leader(&self) {
        self.leader.set(0);
        self.waiting.set(0);
        self.parked.set(0);
        self.oldest.set(0);
    }
}
