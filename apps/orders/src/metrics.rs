use std::sync::atomic::AtomicU64;

use chrono::{DateTime, Utc};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::domain::{attention::Attention, status::Status};

/// Edges of the time to a shipment or an end in seconds; those of the service level objectives are
/// among them.
const SHIPPED_EDGES: [f64; 14] = [
    0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 3600.0,
];
/// Edges of the time to an end in seconds: a courier's day is among them.
const ENDED_EDGES: [f64; 13] = [
    0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 3600.0, 21_600.0, 86_400.0, 604_800.0,
];

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Of {
    status: &'static str,
}

type Durations = Family<Of, Histogram, fn() -> Histogram>;

telemetry::metrics! {
    /// What only orders can count.
    #[derive(Clone)]
    pub struct OrderMetrics {
        /// Orders that were placed
        placed: Counter = "orders_placed";
        /// Time from an order's placing to its shipment, or to its end where it never ships
        shipped: Histogram = "orders_shipped_or_ended" in Seconds, Histogram::new(SHIPPED_EDGES);
        /// Time from an order's placing to its end, by the status that it ends in
        ended: Durations = "orders_ended" in Seconds, Durations::new_with_constructor(|| Histogram::new(ENDED_EDGES));
        /// Orders that are under way, by status
        open: Family<Of, Gauge> = "orders_open";
        /// Time since the oldest order that is under way and not shipped was placed; 0 if there is
        /// none
        oldest: Gauge<f64, AtomicU64> = "orders_oldest_unshipped" in Seconds;
        /// Orders whose deadline has passed and that nobody has dealt with yet
        past_deadline: Gauge = "orders_past_deadline";
        /// Orders that somebody must look at, by reason
        attention: Family<Reason, Gauge> = "orders_needing_attention";
    }
}

/// Orders that are under way, as a look at the database finds them.
pub struct Open {
    pub by_status: Vec<(String, i64)>,
    pub oldest_unshipped: Option<DateTime<Utc>>,
    pub past_deadline: i64,
    pub attention: Vec<(Attention, i64)>,
    /// The database's time of the look.
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
            metrics.ended.get_or_create_owned(&Of { status });
        }
        let nothing = Open {
            by_status: Vec::new(),
            oldest_unshipped: None,
            past_deadline: 0,
            attention: Attention::ALL.map(|attention| (attention, 0)).to_vec(),
            now: DateTime::UNIX_EPOCH,
        };
        metrics.show(&nothing);
        metrics
    }

    /// An order that was placed at `placed_at` went from one status to another.
    pub fn went_on(&self, placed_at: DateTime<Utc>, from: Status, to: Status, now: DateTime<Utc>) {
        let seconds = (now - placed_at).as_seconds_f64().max(0.0);
        if !from.is_shipped_or_over() && to.is_shipped_or_over() {
            self.shipped.observe(seconds);
        }
        if !from.is_terminal() && to.is_terminal() {
            let status = to.as_str();
            self.ended
                .get_or_create_owned(&Of { status })
                .observe(seconds);
        }
    }

    pub fn show(&self, open: &Open) {
        for status in Status::ALL
            .into_iter()
            .filter(|status| !status.is_terminal())
        {
            let status = status.as_str();
            let counted = open.by_status.iter().find(|(name, _)| name == status);
            let count = counted.map_or(0, |(_, count)| *count);
            self.open.get_or_create_owned(&Of { status }).set(count);
        }
        let oldest = open
            .oldest_unshipped
            .map_or(0.0, |placed_at| (open.now - placed_at).as_seconds_f64());
        self.oldest.set(oldest.max(0.0));
        self.past_deadline.set(open.past_deadline);
        for (attention, count) in &open.attention {
            let reason = attention.as_str();
            self.attention
                .get_or_create_owned(&Reason { reason })
                .set(*count);
        }
    }
}
