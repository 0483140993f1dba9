use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::templates::{OTHER, TEMPLATES, Template};

/// Edges of request durations in seconds; those of the service level objectives are among them.
const DURATION_EDGES: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    route: &'static str,
    status: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Route {
    method: &'static str,
    route: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Refusal {
    reason: &'static str,
}

impl From<Template> for Route {
    fn from(template: Template) -> Self {
        Self {
            method: template.method,
            route: template.route,
        }
    }
}

type Durations = Family<Route, Histogram, fn() -> Histogram>;

telemetry::metrics! {
    /// Rate, errors and durations of the store's requests, by route.
    #[derive(Clone)]
    pub struct GatewayMetrics {
        /// Requests by route and class of status, which is unreachable where the service did not
        /// answer
        requests: Family<Answered, Counter> = "gateway_requests";
        /// Time from a request's head to the head of its answer, by route
        durations: Durations = "gateway_request_duration" in Seconds,
            Durations::new_with_constructor(|| Histogram::new(DURATION_EDGES));
        /// Requests and connections that the gateway refused at its door, by reason
        refused: Family<Refusal, Counter> = "gateway_refused";
        /// Clients' connections that are open
        connections: Gauge = "gateway_connections";
        /// Lines of the gateway's journal that were dropped, because its file was too slow or could
        /// not be written
        journal_dropped: Counter = "gateway_journal_dropped";
    }
}

/// The reasons of refusals: see [`crate::admission::Refused`].
const REASONS: [&str; 4] = ["rate", "log_in_rate", "host", TOO_MANY_CONNECTIONS];
/// The reason of a refused connection.
pub const TOO_MANY_CONNECTIONS: &str = "connections";

const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "unreachable"];

impl GatewayMetrics {
    /// Every route shows with zero before its first request.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::registered(registry);
        for template in TEMPLATES.iter().copied().chain([OTHER]) {
            let Route { method, route } = template.into();
            for status in CLASSES {
                let answered = Answered {
                    method,
                    route,
                    status,
                };
                metrics.requests.get_or_create_owned(&answered);
            }
            metrics
                .durations
                .get_or_create_owned(&Route { method, route });
        }
        for reason in REASONS {
            metrics.refused.get_or_create_owned(&Refusal { reason });
        }
        metrics
    }

    /// Counts a refused request or connection.
    pub fn refuse(&self, reason: &'static str) {
        self.refused.get_or_create_owned(&Refusal { reason }).inc();
    }

    /// Counts a request, and returns the class of its status. `status` is `None` if the service
    /// could not be reached.
    pub fn count(&self, template: Template, status: Option<u16>, took: Duration) -> &'static str {
        let status = status.map_or("unreachable", |status| {
            CLASSES[usize::from(status / 100).clamp(1, 5) - 1]
        });
        let Route { method, route } = template.into();
        self.requests
            .get_or_create_owned(&Answered {
                method,
                route,
                status,
            })
            .inc();
        self.durations
            .get_or_create_owned(&Route { method, route })
            .observe(took.as_secs_f64());
        status
    }
}
