use chrono::{DateTime, Utc};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::Outcome;

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

type Ages = Family<OfType, Histogram, fn() -> Histogram>;

/// What a consumer does, by type of event.
#[derive(Clone)]
pub struct Metrics {
    events: Family<Consumed, Counter>,
    retries: Family<OfType, Counter>,
    ages: Ages,
    blocked: Gauge,
}

impl Metrics {
    pub fn register(registry: &mut Registry) -> Self {
        let ages = Ages::new_with_constructor(|| Histogram::new(AGE_EDGES));
        let metrics = Self {
            events: Family::default(),
            retries: Family::default(),
            ages,
            blocked: Gauge::default(),
        };
        registry.register(
            "inbox_events",
            "Events by type and by what became of them",
            metrics.events.clone(),
        );
        registry.register(
            "inbox_retries",
            "Attempts that failed and are made again",
            metrics.retries.clone(),
        );
        registry.register_with_unit(
            "inbox_event_age",
            "Age of an event, from its publication to the commit of its handler",
            Unit::Seconds,
            metrics.ages.clone(),
        );
        registry.register(
            "inbox_blocked_partitions",
            "Partitions that wait for a retry",
            metrics.blocked.clone(),
        );
        metrics
    }

    /// Makes every label exist before its first event.
    pub(crate) fn expect(&self, event_types: &[&'static str]) {
        for event_type in event_types {
            let r#type = (*event_type).to_owned();
            for outcome in ["applied", "duplicate", "parked"] {
                self.events.get_or_create_owned(&Consumed {
                    r#type: r#type.clone(),
                    outcome,
                });
            }
            self.retries.get_or_create_owned(&OfType {
                r#type: r#type.clone(),
            });
            self.ages.get_or_create_owned(&OfType { r#type });
        }
    }

    pub(crate) fn count(
        &self,
        event_type: &str,
        outcome: Outcome,
        time: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) {
        let label = match outcome {
            Outcome::Applied => "applied",
            Outcome::Duplicate => "duplicate",
            Outcome::Parked => "parked",
            Outcome::Ignored => return,
        };
        let r#type = event_type.to_owned();
        self.events
            .get_or_create_owned(&Consumed {
                r#type: r#type.clone(),
                outcome: label,
            })
            .inc();
        if let (Outcome::Applied, Some(time)) = (outcome, time) {
            let age = (now - time).as_seconds_f64().max(0.0);
            self.ages.get_or_create_owned(&OfType { r#type }).observe(age);
        }
    }

    pub(crate) fn retried(&self, event_type: &str) {
        self.retries
            .get_or_create_owned(&OfType {
                r#type: event_type.to_owned(),
            })
            .inc();
    }

    pub(crate) fn blocked(&self) -> &Gauge {
        &self.blocked
    }
}
