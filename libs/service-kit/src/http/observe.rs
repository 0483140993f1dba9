use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
    web::Data,
};
use kernel::TraceParent;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};
use telemetry::traces::{self, Kind, Span};
use tokio::time::Instant;
use tracing::Instrument;

use super::{methods, problem::ApiError};
use crate::security::{Outcome, SecurityLog};

/// Edges of request durations in seconds; those of the service level objectives are among them.
const DURATION_EDGES: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    route: String,
    status: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Route {
    method: &'static str,
    route: String,
}

type Durations = Family<Route, Histogram, fn() -> Histogram>;

telemetry::metrics! {
    /// Rate, errors and durations of a service's requests, by route.
    #[derive(Clone)]
    pub struct HttpMetrics {
        /// Requests by route and class of status
        requests: Family<Answered, Counter> = "http_requests";
        /// Time from a request's head to its answer, by route
        durations: Durations = "http_request_duration" in Seconds,
            Durations::new_with_constructor(|| Histogram::new(DURATION_EDGES));
    }
}

impl HttpMetrics {
    /// Every route of `api` shows with zero before its first request.
    pub fn register(registry: &mut Registry, api: &utoipa::openapi::OpenApi) -> Self {
        let metrics = Self::registered(registry);
        for (path, item) in &api.paths.paths {
            let methods = [
                ("GET", &item.get),
                ("PUT", &item.put),
                ("POST", &item.post),
                ("PATCH", &item.patch),
                ("DELETE", &item.delete),
            ];
            for (method, _) in methods
                .into_iter()
                .filter(|(_, operation)| operation.is_some())
            {
                for status in ["2xx", "3xx", "4xx", "5xx"] {
                    metrics.requests.get_or_create_owned(&Answered {
                        method,
                        route: path.clone(),
                        status,
                    });
                }
                metrics.durations.get_or_create_owned(&Route {
                    method,
                    route: path.clone(),
                });
            }
        }
        metrics
    }

    fn observe(&self, method: &'static str, route: String, status: u16, seconds: f64) {
        let class = match status {
            0..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        };
        let answered = Answered {
            method,
            route: route.clone(),
            status: class,
        };
        self.requests.get_or_create_owned(&answered).inc();
        self.durations
            .get_or_create_owned(&Route { method, route })
            .observe(seconds);
    }
}

/// What [`observe`] needs.
pub struct Observer {
    pub service: &'static str,
    pub metrics: HttpMetrics,
    pub security: SecurityLog,
}

/// Puts a request into its trace and span, and counts it.
pub async fn observe(
    observer: Data<Observer>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let parent = request
        .headers()
        .get("traceparent")
        .and_then(|header| header.to_str().ok());
    let parent = parent.and_then(|text| text.parse::<TraceParent>().ok());
    let trace = parent.map_or_else(TraceParent::root, TraceParent::child);
    let method = methods::label(request.method());
    // A client can invent any number of addresses and methods: those must not become labels.
    let route = request.match_pattern().unwrap_or_else(|| "none".to_owned());
    let step = Span::begin(observer.service, Kind::Server, trace, parent, || {
        format!("{method} {route}")
    });
    let span = tracing::info_span!(
        "http",
        method,
        route,
        order_id = tracing::field::Empty,
        trace_id = trace.trace_id()
    );
    let started = Instant::now();
    let answered = traces::scope(trace, next.call(request).instrument(span.clone())).await;
    let status = answered.as_ref().map_or_else(
        |error| error.as_response_error().status_code(),
        ServiceResponse::status,
    );
    let seconds = started.elapsed().as_secs_f64();
    span.in_scope(|| {
        tracing::debug!(status = status.as_u16(), seconds, "answered");
        if let (Ok(answered), Some(outcome)) = (&answered, Outcome::of(status)) {
            let error = answered.response().error();
            let reason = error.and_then(|error| Some(error.as_error::<ApiError>()?.code()));
            observer
                .security
                .refused(answered.request(), trace, outcome, reason);
        }
    });
    let step = step
        .with("http.request.method", method)
        .with("http.route", &route)
        .with("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        step.fail(status);
    } else {
        step.end();
    }
    observer
        .metrics
        .observe(method, route, status.as_u16(), seconds);
    answered
}
