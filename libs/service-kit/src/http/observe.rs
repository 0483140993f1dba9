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
    registry::{Registry, Unit},
};
use tokio::time::Instant;
use tracing::Instrument;

/// Edges of request durations in seconds; those of the service level objectives are among them.
const DURATION_EDGES: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Answered {
    method: String,
    route: String,
    status: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Route {
    method: String,
    route: String,
}

type Durations = Family<Route, Histogram, fn() -> Histogram>;

/// Rate, errors and durations of a service's requests, by route.
#[derive(Clone)]
pub struct HttpMetrics {
    requests: Family<Answered, Counter>,
    durations: Durations,
}

impl HttpMetrics {
    /// Every route of `api` shows with zero before its first request.
    pub fn register(registry: &mut Registry, api: &utoipa::openapi::OpenApi) -> Self {
        let durations = Durations::new_with_constructor(|| Histogram::new(DURATION_EDGES));
        let metrics = Self {
            requests: Family::default(),
            durations,
        };
        registry.register(
            "http_requests",
            "Requests by route and class of status",
            metrics.requests.clone(),
        );
        registry.register_with_unit(
            "http_request_duration",
            "Time from a request's head to its answer, by route",
            Unit::Seconds,
            metrics.durations.clone(),
        );
        for (path, item) in &api.paths.paths {
            let methods = [
                ("GET", &item.get),
                ("PUT", &item.put),
                ("POST", &item.post),
                ("PATCH", &item.patch),
                ("DELETE", &item.delete),
            ];
            for (method, _) in methods.into_iter().filter(|(_, operation)| operation.is_some()) {
                for status in ["2xx", "3xx", "4xx", "5xx"] {
                    let (method, route) = (method.to_owned(), path.clone());
                    metrics.requests.get_or_create_owned(&Answered {
                        method,
                        route,
                        status,
                    });
                }
                metrics.durations.get_or_create_owned(&Route {
                    method: method.to_owned(),
                    route: path.clone(),
                });
            }
        }
        metrics
    }

    fn observe(&self, method: String, route: String, status: u16, seconds: f64) {
        let class = match status {
            0..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        };
        let answered = Answered {
            method: method.clone(),
            route: route.clone(),
            status: class,
        };
        self.requests.get_or_create_owned(&answered).inc();
        self.durations
            .get_or_create_owned(&Route { method, route })
            .observe(seconds);
    }
}

/// Puts a request into its trace and span, and counts it.
pub async fn observe(
    metrics: Data<HttpMetrics>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let parent = request
        .headers()
        .get("traceparent")
        .and_then(|header| header.to_str().ok());
    let trace = match parent.and_then(|text| text.parse::<TraceParent>().ok()) {
        Some(parent) => parent.child(),
        None => TraceParent::root(),
    };
    let method = request.method().as_str().to_owned();
    // An address that no route has must not make a label of its own.
    let route = request.match_pattern().unwrap_or_else(|| "none".to_owned());
    let span = tracing::info_span!("http", method, route, trace_id = trace.trace_id());
    let started = Instant::now();
    let answered = trace.scope(next.call(request).instrument(span.clone())).await;
    let status = answered.as_ref().map_or_else(
        |error| error.as_response_error().status_code(),
        ServiceResponse::status,
    );
    let seconds = started.elapsed().as_secs_f64();
    span.in_scope(|| tracing::debug!(status = status.as_u16(), seconds, "answered"));
    metrics.observe(method, route, status.as_u16(), seconds);
    answered
}
