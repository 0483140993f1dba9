use chrono::{DateTime, Utc};
use db::{Db, DbError};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::{Outcome, gaps, message::UNREADABLE, parked};

/// The type of whatever nobody here listens to: others may publish what they like.
const OTHER: &str = "other";

/// Edges of an event's age in seconds; those of the service level objectives are among them.
const AGE_EDGES: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Consumed {
    r#type: String,
    outcome: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OfType {
    r#type: String,
}

impl From<&str> for OfType {
    fn from(event_type: &str) -> Self {
        Self {
            r#type: event_type.to_owned(),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OfTopic {
    topic: String,
}

impl From<&str> for OfTopic {
    fn from(topic: &str) -> Self {
        Self {
            topic: topic.to_owned(),
        }
    }
}

type Ages = Family<OfType, Histogram, fn() -> Histogram>;

telemetry::metrics! {
    /// What a consumer does, by type of event, and how far it is.
    #[derive(Clone)]
    pub struct Metrics {
        /// Events by type and by what became of them: applied, duplicate, parked or ignored
        events: Family<Consumed, Counter> = "inbox_events";
        /// Attempts that failed and are made again, by type of event
        retries: Family<OfType, Counter> = "inbox_retries";
        /// Age of an event, from its publication to the commit of its handler
        ages: Ages = "inbox_event_age" in Seconds, Ages::new_with_constructor(|| Histogram::new(AGE_EDGES));
        /// Partitions that wait for a retry
        blocked: Gauge = "inbox_blocked_partitions";
        /// Partitions that wait because Kafka's client cannot read them; they count as blocked, too
        unreadable: Gauge = "inbox_unreadable_partitions";
        /// Stretches of messages that Kafka deleted before they were read, until an operator
        /// acknowledges them
        gaps: Gauge = "inbox_gaps";
        /// Messages that this replica has still to read, by topic; Kafka's client reckons it every
        /// five seconds
        lag: Family<OfTopic, Gauge> = "inbox_lag_messages";
        /// Events that wait for an operator, by themselves or behind an earlier one of their key
        parked: Gauge = "inbox_parked";
    }
}

impl Metrics {
    pub fn register(registry: &mut Registry) -> Self {
        Self::registered(registry)
    }

    /// Reads what is parked, and what Kafka deleted.
    pub async fn read(&self, db: &Db, consumer: &str) -> Result<(), DbError> {
        self.parked.set(parked::count(db, consumer).await?);
        self.gaps.set(gaps::count(db, consumer).await?);
        Ok(())
    }

    /// Makes every label exist before its first event.
    pub(crate) fn expect(&self, topics: &[&'static str], event_types: &[&'static str]) {
        for topic in topics {
            self.lag.get_or_create_owned(&OfTopic::from(*topic));
        }
        for event_type in event_types {
            for outcome in ["applied", "duplicate", "parked"] {
                self.events_of(event_type, outcome, 0);
            }
            let of_type = OfType::from(*event_type);
            self.retries.get_or_create_owned(&of_type);
            self.ages.get_or_create_owned(&of_type);
        }
        for outcome in ["duplicate", "parked"] {
            self.events_of(UNREADABLE, outcome, 0);
        }
        self.retries.get_or_create_owned(&OfType::from(UNREADABLE));
        self.events_of(OTHER, "ignored", 0);
    }

    /// `time` is when the event was published, if it says so.
    pub(crate) fn count(
        &self,
        event_type: &str,
        outcome: Outcome,
        time: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) {
        match outcome {
            Outcome::Applied => self.events_of(event_type, "applied", 1),
            Outcome::Duplicate => self.events_of(event_type, "duplicate", 1),
            Outcome::Parked => self.events_of(event_type, "parked", 1),
            Outcome::Ignored => self.events_of(OTHER, "ignored", 1),
        }
        if let (Outcome::Applied, Some(time)) = (outcome, time) {
            let age = (now - time).as_seconds_f64().max(0.0);
            let ages = self.ages.get_or_create_owned(&OfType::from(event_type));
            ages.observe(age);
        }
    }

    fn events_of(&self, event_type: &str, outcome: &'static str, count: u64) {
        let r#type = event_type.to_owned();
        self.events
            .get_or_create_owned(&Consumed { r#type, outcome })
            .inc_by(count);
    }

    pub(crate) fn retried(&self, event_type: &str) {
        self.retries
            .get_or_create_owned(&OfType::from(event_type))
            .inc();
    }

    pub(crate) fn is_behind(&self, topic: &str, messages: i64) {
        self.lag
            .get_or_create_owned(&OfTopic::from(topic))
            .set(messages);
    }

    /// A partition waits until the answer is dropped.
    pub(crate) fn block(&self) -> Blocked {
        Blocked::count(&self.blocked)
    }

    /// A partition cannot be read until the answer is dropped.
    pub(crate) fn cannot_read(&self) -> Unreadable {
        Unreadable {
            _blocked: self.block(),
            _unreadable: Blocked::count(&self.unreadable),
        }
    }
}

/// A partition that cannot be read.
pub(crate) struct Unreadable {
    _blocked: Blocked,
    _unreadable: Blocked,
}

/// A partition that waits, also if its worker is cut off meanwhile.
pub(crate) struct Blocked(Gauge);

impl Blocked {
    fn count(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Blocked {
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
        Metrics::register(&mut registry).expect(&["orders"], &["orders.placed.v1"]);
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
        let blocked = metrics.block();
        assert!(shown(&registry).contains("inbox_blocked_partitions 1"));
        drop(blocked);
        assert!(shown(&registry).contains("inbox_blocked_partitions 0"));
        let unreadable = metrics.cannot_read();
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
