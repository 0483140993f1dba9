use chrono::{DateTime, Utc};
use db::{Db, DbError};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::{Outcome, gaps, message::UNREADABLE, parked};

/// The label of all types without a handler. Other producers may publish any number of types, and
/// each label costs memory.
const OTHER: &str = "other";

/// The histogram's edges of an event's age in seconds. Those of the service level objectives are
/// among them.
const AGE_EDGES_SECONDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct EventLabels {
    r#type: String,
    outcome: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct TypeLabel {
    r#type: String,
}

impl From<&str> for TypeLabel {
    fn from(event_type: &str) -> Self {
        Self {
            r#type: event_type.to_owned(),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct TopicLabel {
    topic: String,
}

impl From<&str> for TopicLabel {
    fn from(topic: &str) -> Self {
        Self {
            topic: topic.to_owned(),
        }
    }
}

type Ages = Family<TypeLabel, Histogram, fn() -> Histogram>;

telemetry::metrics! {
    /// What a consumer does with events, and how far behind it is.
    #[derive(Clone)]
    pub struct Metrics {
        /// Events by type and by what became of them: applied, duplicate, parked or ignored
        events: Family<EventLabels, Counter> = "inbox_events";
        /// Attempts that failed and are made again, by type of event
        retries: Family<TypeLabel, Counter> = "inbox_retries";
        /// Age of an event, from its publication to the commit of its handler
        ages: Ages = "inbox_event_age" in Seconds,
            Ages::new_with_constructor(|| Histogram::new(AGE_EDGES_SECONDS));
        /// Partitions that wait for a retry
        blocked: Gauge = "inbox_blocked_partitions";
        /// Partitions that wait because Kafka's client cannot read them; they count as blocked, too
        unreadable: Gauge = "inbox_unreadable_partitions";
        /// Stretches of messages that Kafka deleted before they were read, until an operator
        /// acknowledges them
        gaps: Gauge = "inbox_gaps";
        /// Messages that this replica has still to read, by topic; Kafka's client reckons it every
        /// five seconds
        lag: Family<TopicLabel, Gauge> = "inbox_lag_messages";
        /// Events that wait for an operator, by themselves or behind an earlier one of their key
        parked: Gauge = "inbox_parked";
    }
}

impl Metrics {
    pub fn register(registry: &mut Registry) -> Self {
        Self::registered(registry)
    }

    /// Reads the number of parked events and of gaps from the database.
    pub async fn read(&self, db: &Db, consumer: &str) -> Result<(), DbError> {
        self.parked.set(parked::count(db, consumer).await?);
        self.gaps.set(gaps::count(db, consumer).await?);
        Ok(())
    }

    /// Makes every label exist before its first event.
    pub(crate) fn create_labels(&self, topics: &[&'static str], event_types: &[&'static str]) {
        for topic in topics {
            self.lag.get_or_create_owned(&TopicLabel::from(*topic));
        }
        for event_type in event_types {
            for outcome in ["applied", "duplicate", "parked"] {
                self.add_events(event_type, outcome, 0);
            }
            let of_type = TypeLabel::from(*event_type);
            self.retries.get_or_create_owned(&of_type);
            self.ages.get_or_create_owned(&of_type);
        }
        for outcome in ["duplicate", "parked"] {
            self.add_events(UNREADABLE, outcome, 0);
        }
        self.retries
            .get_or_create_owned(&TypeLabel::from(UNREADABLE));
        self.add_events(OTHER, "ignored", 0);
    }

    /// Counts what became of an event. `time` is when it was published, if that is known.
    pub(crate) fn count_event(
        &self,
        event_type: &str,
        outcome: Outcome,
        time: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) {
        match outcome {
            Outcome::Applied => self.add_events(event_type, "applied", 1),
            Outcome::Duplicate => self.add_events(event_type, "duplicate", 1),
            Outcome::Parked => self.add_events(event_type, "parked", 1),
            Outcome::Ignored => self.add_events(OTHER, "ignored", 1),
        }
        if let (Outcome::Applied, Some(time)) = (outcome, time) {
            let age = (now - time).as_seconds_f64().max(0.0);
            let ages = self.ages.get_or_create_owned(&TypeLabel::from(event_type));
            ages.observe(age);
        }
    }

    fn add_events(&self, event_type: &str, outcome: &'static str, count: u64) {
        let r#type = event_type.to_owned();
        self.events
            .get_or_create_owned(&EventLabels { r#type, outcome })
            .inc_by(count);
    }

    pub(crate) fn count_retry(&self, event_type: &str) {
        self.retries
            .get_or_create_owned(&TypeLabel::from(event_type))
            .inc();
    }

    /// Sets how many messages of a topic this replica has still to read.
    pub(crate) fn set_lag(&self, topic: &str, messages: i64) {
        self.lag
            .get_or_create_owned(&TopicLabel::from(topic))
            .set(messages);
    }

    /// Counts a partition as blocked until the guard is dropped.
    pub(crate) fn count_as_blocked(&self) -> BlockedGuard {
        BlockedGuard::count(&self.blocked)
    }

    /// Counts a partition as unreadable, and as blocked, until the guard is dropped.
    pub(crate) fn count_as_unreadable(&self) -> UnreadableGuard {
        UnreadableGuard {
            _blocked: self.count_as_blocked(),
            _unreadable: BlockedGuard::count(&self.unreadable),
        }
    }
}

/// Counts a partition that cannot be read.
pub(crate) struct UnreadableGuard {
    _blocked: BlockedGuard,
    _unreadable: BlockedGuard,
}

/// Counts a partition in a gauge until it is dropped, also when the partition's worker is aborted.
pub(crate) struct BlockedGuard(Gauge);

impl BlockedGuard {
    fn count(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for BlockedGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    fn shown(registry: &Registry) -> String {
        let mut text = String::new();
        encode(&mut text, registry).unwrap();
        text
    }

    #[test]
    fn every_label_exists_before_the_first_event() {
        let mut registry = Registry::default();
        Metrics::register(&mut registry).create_labels(&["orders"], &["orders.placed.v1"]);
        let text = shown(&registry);
        for line in [
            r#"inbox_events_total{type="orders.placed.v1",outcome="applied"} 0"#,
            r#"inbox_events_total{type="orders.placed.v1",outcome="duplicate"} 0"#,
            r#"inbox_events_total{type="orders.placed.v1",outcome="parked"} 0"#,
            r#"inbox_events_total{type="unreadable",outcome="parked"} 0"#,
            r#"inbox_events_total{type="other",outcome="ignored"} 0"#,
            r#"inbox_retries_total{type="orders.placed.v1"} 0"#,
            r#"inbox_event_age_seconds_bucket{le="10.0",type="orders.placed.v1"} 0"#,
            "inbox_blocked_partitions 0",
            r#"inbox_lag_messages{topic="orders"} 0"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_partition_is_blocked_until_its_guard_is_dropped() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let blocked = metrics.count_as_blocked();
        assert!(shown(&registry).contains("inbox_blocked_partitions 1"));
        drop(blocked);
        assert!(shown(&registry).contains("inbox_blocked_partitions 0"));
        let unreadable = metrics.count_as_unreadable();
        let text = shown(&registry);
        assert!(
            text.contains("inbox_blocked_partitions 1")
                && text.contains("inbox_unreadable_partitions 1")
        );
        drop(unreadable);
        let text = shown(&registry);
        assert!(
            text.contains("inbox_blocked_partitions 0")
                && text.contains("inbox_unreadable_partitions 0")
        );
    }
}
