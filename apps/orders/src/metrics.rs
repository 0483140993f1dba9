use std::sync::atomic::AtomicU64;

use chrono::{DateTime, Utc};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::domain::{attention::Attention, status::Status};

/// Buckets of the time to a shipment or an end, in seconds; the limits of the service level
/// objectives are among them.
const SHIPPED_BUCKETS: [f64; 14] = [
    0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 3600.0,
];
/// Buckets of the time to an end, in seconds, up to a week: a courier may take a day.
const ENDED_BUCKETS: [f64; 13] = [
    0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 3600.0, 21_600.0, 86_400.0, 604_800.0,
];

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ByStatus {
    status: &'static str,
}

type Durations = Family<ByStatus, Histogram, fn() -> Histogram>;

fn ended() -> Durations {
    Durations::new_with_constructor(|| Histogram::new(ENDED_BUCKETS))
}

telemetry::metrics! {
    /// The metrics that only orders has.
    #[derive(Clone)]
    pub struct OrderMetrics {
        /// Orders that were placed
        placed: Counter = "orders_placed";
        /// Time from an order's placing to its shipment, or to its end where it never ships
        shipped: Histogram = "orders_shipped_or_ended" in Seconds, Histogram::new(SHIPPED_BUCKETS);
        /// Time from an order's placing to its end, by the status that it ends in
        ended: Durations = "orders_ended" in Seconds, ended();
        /// Orders that are under way, by status
        open: Family<ByStatus, Gauge> = "orders_open";
        /// Time since the oldest order that is under way and not shipped was placed; 0 if there is
        /// none
        oldest: Gauge<f64, AtomicU64> = "orders_oldest_unshipped" in Seconds;
        /// Orders whose deadline has passed and that the sweeper has not dealt with yet
        past_deadline: Gauge = "orders_past_deadline";
        /// Orders that an operator must look at, by reason
        attention: Family<ByReason, Gauge> = "orders_needing_attention";
    }
}

/// Counts of the orders that are under way, as they are in the database at one time.
pub struct OpenOrders {
    pub by_status: Vec<(String, i64)>,
    pub oldest_unshipped: Option<DateTime<Utc>>,
    pub past_deadline: i64,
    pub attention: Vec<(Attention, i64)>,
    /// The time of the counts, by the database's clock.
    pub now: DateTime<Utc>,
}

impl OrderMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::registered(registry);
        for status in Status::ALL
            .into_iter()
            .filter(|status| status.is_terminal())
        {
            let status = status.as_str();
            metrics.ended.get_or_create_owned(&ByStatus { status });
        }
        let none = OpenOrders {
            by_status: Vec::new(),
            oldest_unshipped: None,
            past_deadline: 0,
            attention: Attention::ALL.map(|attention| (attention, 0)).to_vec(),
            now: DateTime::UNIX_EPOCH,
        };
        metrics.set_open(&none);
        metrics
    }

    /// Observes that an order which was placed at `placed_at` went from one status to another.
    pub fn advanced(&self, placed_at: DateTime<Utc>, from: Status, to: Status, now: DateTime<Utc>) {
        let seconds = (now - placed_at).as_seconds_f64().max(0.0);
        if !from.is_shipped_or_over() && to.is_shipped_or_over() {
            self.shipped.observe(seconds);
        }
        if !from.is_terminal() && to.is_terminal() {
            let status = to.as_str();
            self.ended
                .get_or_create_owned(&ByStatus { status })
                .observe(seconds);
        }
    }

    /// Sets the metrics of orders under way.
    pub fn set_open(&self, open: &OpenOrders) {
        for status in Status::ALL
            .into_iter()
            .filter(|status| !status.is_terminal())
        {
            let status = status.as_str();
            let counted = open.by_status.iter().find(|(name, _)| name == status);
            let count = counted.map_or(0, |(_, count)| *count);
            self.open
                .get_or_create_owned(&ByStatus { status })
                .set(count);
        }
        let oldest = open
            .oldest_unshipped
            .map_or(0.0, |placed_at| (open.now - placed_at).as_seconds_f64());
        self.oldest.set(oldest.max(0.0));
        self.past_deadline.set(open.past_deadline);
        for (attention, count) in &open.attention {
            let reason = attention.as_str();
            self.attention
                .get_or_create_owned(&ByReason { reason })
                .set(*count);
        }
    }
}
