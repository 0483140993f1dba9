use std::{fmt, time::Duration};

use diesel_async::{AsyncPgConnection, pooled_connection::bb8::Pool};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{
        MetricType, counter::ConstCounter, family::Family, gauge::ConstGauge, histogram::Histogram,
    },
    registry::{Registry, Unit},
};
use telemetry::show;

/// Bucket edges of a transaction's duration, in seconds. The limit of the alert is one of them.
const TRANSACTION_EDGES: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
];

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Ended {
    outcome: &'static str,
}

type Durations = Family<Ended, Histogram, fn() -> Histogram>;

telemetry::metrics! {
    /// What a service's transactions cost.
    #[derive(Clone)]
    pub(crate) struct DbMetrics {
        /// Time from a transaction's begin to its end, by how it ended
        durations: Durations = "db_transaction_duration" in Seconds,
            Durations::new_with_constructor(|| Histogram::new(TRANSACTION_EDGES));
    }
}

impl DbMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::registered(registry);
        for outcome in ["committed", "rolled_back"] {
            metrics.durations.get_or_create_owned(&Ended { outcome });
        }
        metrics
    }

    pub fn observe(&self, committed: bool, took: Duration) {
        let outcome = if committed {
            "committed"
        } else {
            "rolled_back"
        };
        self.durations
            .get_or_create_owned(&Ended { outcome })
            .observe(took.as_secs_f64());
    }
}

/// The pool's statistics, read at each scrape.
pub(crate) struct PoolMetrics(pub Pool<AsyncPgConnection>);

impl fmt::Debug for PoolMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PoolMetrics")
    }
}

impl Collector for PoolMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let state = self.pool_state();
        let help = "Connections of the pool, by whether they are in use";
        let connections = [("used", state.used), ("idle", state.idle)];
        by(
            &mut encoder,
            "db_pool_connections",
            help,
            "state",
            &connections.map(|(name, n)| (name, ConstGauge::new(n))),
        )?;
        let limit = ConstGauge::new(i64::from(state.limit));
        show(
            &mut encoder,
            "db_pool_limit",
            "Connections that the pool may have",
            None,
            &limit,
        )?;
        let help = "Connections that were asked for, by whether they came at once, after a wait, \
                    or not in time";
        by(
            &mut encoder,
            "db_pool_gets",
            help,
            "how",
            &state.gets.map(|(name, n)| (name, ConstCounter::new(n))),
        )?;
        let waited = ConstCounter::new(state.waited.as_secs_f64());
        let help = "Time that was spent waiting for a connection of the pool";
        show(
            &mut encoder,
            "db_pool_wait",
            help,
            Some(&Unit::Seconds),
            &waited,
        )
    }
}

struct PoolState {
    used: i64,
    idle: i64,
    limit: u32,
    gets: [(&'static str, u64); 3],
    waited: Duration,
}

impl PoolMetrics {
    fn pool_state(&self) -> PoolState {
        let state = self.0.state();
        let statistics = &state.statistics;
        PoolState {
            used: i64::from(state.connections - state.idle_connections.min(state.connections)),
            idle: i64::from(state.idle_connections),
            limit: self.0.config().max_size,
            gets: [
                ("direct", statistics.get_direct),
                ("waited", statistics.get_waited),
                ("timed_out", statistics.get_timed_out),
            ],
            waited: statistics.get_wait_time,
        }
    }
}

/// Shows one number for each value of a label.
pub(crate) fn by<M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &str,
    values: &[(&str, M)],
) -> fmt::Result {
    let kind = values
        .first()
        .map_or(MetricType::Unknown, |(_, metric)| metric.metric_type());
    let mut encoder = encoder.encode_descriptor(name, &format!("{help}."), None, kind)?;
    for (value, metric) in values {
        metric.encode(encoder.encode_family(&[(label, *value)])?)?;
    }
    Ok(())
}
