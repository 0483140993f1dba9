use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::StreamExt;
use http_body_util::{BodyExt, BodyStream, Either, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    body::{Bytes, Incoming},
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use kernel::TraceParent;
use telemetry::traces::{Kind, Span};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    GatewaySettings, docs,
    journal::Journal,
    metrics::GatewayMetrics,
    problem::problem,
    routes::{Route, Service, route},
    templates,
    ways::Ways,
};

/// Passes requests on to the services, body and answer as streams.
pub struct Proxy {
    settings: GatewaySettings,
    client: Client<HttpsConnector<HttpConnector>, Incoming>,
    ways: Ways,
    metrics: GatewayMetrics,
    journal: Option<Arc<Journal>>,
    stop: CancellationToken,
}

type Answer = Response<Body>;
/// A service's answer, an event stream, or a page of the gateway's own.
type Body = Either<Either<Incoming, UnsyncBoxBody<Bytes, hyper::Error>>, Full<Bytes>>;

/// Headers that belong to one connection and end with it (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

impl Proxy {
    /// After `stop` event streams are cut off, which their clients resume; everything else is finished.
    pub fn new(
        settings: GatewaySettings,
        ways: Ways,
        metrics: GatewayMetrics,
        journal: Option<Arc<Journal>>,
        stop: CancellationToken,
    ) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            // Below the services' keep-alive, so that no request meets a connection that is just being closed.
            .pool_idle_timeout(Duration::from_secs(3))
            .build(ways.connector());
        Self {
            settings,
            client,
            ways,
            metrics,
            journal,
            stop,
        }
    }

    /// Passes a request on or answers it; it is counted when its answer begins, and is the first step of its trace unless
    /// the client has begun one.
    pub async fn forward(
        &self,
        mut request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<Answer, Infallible> {
        let began = Instant::now();
        let path = request.uri().path().to_owned();
        let template = templates::of(request.method().as_str(), &path);
        let parent = request.headers().get("traceparent");
        let parent = parent.and_then(|header| header.to_str().ok()?.parse::<TraceParent>().ok());
        let trace = parent.map_or_else(TraceParent::root, TraceParent::child);
        let step = Span::begin("gateway", Kind::Server, trace, parent, || {
            format!("{} {}", template.method, template.route)
        });
        if let Ok(header) = HeaderValue::from_str(&trace.to_string()) {
            request.headers_mut().insert("traceparent", header);
        }
        let (answer, status) = self.answer(&path, request, peer).await;
        let took = began.elapsed();
        let class = self.metrics.count(template, status, took);
        if let Some(journal) = &self.journal {
            journal.note(template, answer.status().as_u16(), class, took, trace);
        }
        let step = step
            .with("http.request.method", template.method)
            .with("http.route", template.route)
            .with("http.response.status_code", answer.status().as_u16());
        if answer.status().is_server_error() {
            step.fail(answer.status());
        } else {
            step.end();
        }
        Ok(answer)
    }

    /// The answer, and its status unless the service could not be reached.
    async fn answer(
        &self,
        path: &str,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> (Answer, Option<u16>) {
        let answer = match route(path) {
            Route::To(service, path) => match self.pass_on(service, &path, request, peer).await {
                Some(answer) => answer,
                None => return (unreachable(service), None),
            },
            Route::Server if request.method() == Method::OPTIONS => own(options(EVERY_METHOD)),
            Route::DocsIndex | Route::Problems | Route::Redirect(_)
                if request.method() == Method::OPTIONS =>
            {
                own(options(OF_PAGES))
            }
            Route::DocsIndex | Route::Problems | Route::Redirect(_)
                if ![Method::GET, Method::HEAD].contains(request.method()) =>
            {
                own(not_allowed())
            }
            Route::DocsIndex => own(docs::index()),
            Route::Problems => own(docs::problems(&self.settings, &self.ways).await),
            Route::Redirect(location) => own(docs::redirect(&location)),
            Route::Server | Route::Unknown => own(problem(
                StatusCode::NOT_FOUND,
                "no_such_route",
                "there is nothing at this address; /api/docs/ shows what there is",
            )),
        };
        let status = answer.status().as_u16();
        (answer, Some(status))
    }

    /// `None` if the service cannot be reached.
    async fn pass_on(
        &self,
        service: Service,
        path: &str,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Option<Answer> {
        let base = self.settings.base_of(service);
        let query = request
            .uri()
            .query()
            .map(|query| format!("?{query}"))
            .unwrap_or_default();
        let target = format!("{}{path}{query}", base.to_string().trim_end_matches('/'));
        let Ok(target) = target.parse::<Uri>() else {
            return Some(own(problem(
                StatusCode::NOT_FOUND,
                "no_such_route",
                "the address cannot be read",
            )));
        };
        let (mut head, body) = request.into_parts();
        head.uri = target;
        remove_hop_by_hop(&mut head.headers);
        // The service is another host.
        head.headers.remove(header::HOST);
        if !self.settings.trust_forwarded_for
            && let Ok(peer) = HeaderValue::from_str(&peer.ip().to_string())
        {
            head.headers.append("x-forwarded-for", peer);
        }
        let sent = self.client.request(Request::from_parts(head, body));
        let limit = Duration::from_secs(self.settings.timeout);
        match tokio::time::timeout(limit, sent).await {
            Ok(Ok(response)) => {
                let (mut head, body) = response.into_parts();
                remove_hop_by_hop(&mut head.headers);
                let body = if head.headers.get(header::CONTENT_TYPE) == Some(&EVENT_STREAM) {
                    Either::Right(self.until_stop(body))
                } else {
                    Either::Left(body)
                };
                Some(Response::from_parts(head, Either::Left(body)))
            }
            Ok(Err(error)) => {
                tracing::warn!(%service, error = chain(&error), "a service cannot be reached");
                None
            }
            Err(_) => {
                tracing::warn!(%service, seconds = limit.as_secs(), "a service did not answer");
                None
            }
        }
    }

    fn until_stop(&self, body: Incoming) -> UnsyncBoxBody<Bytes, hyper::Error> {
        let frames = BodyStream::new(body).take_until(self.stop.clone().cancelled_owned());
        StreamBody::new(frames).boxed_unsync()
    }

    /// Fetches a page of a service's own, for the gateway's pages.
    pub(crate) async fn get(ways: &Ways, base: &Uri, path: &str) -> Option<Bytes> {
        let target = format!("{}{path}", base.to_string().trim_end_matches('/'))
            .parse::<Uri>()
            .ok()?;
        let client = Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(ways.connector());
        let answer = tokio::time::timeout(Duration::from_secs(2), client.get(target))
            .await
            .ok()?
            .ok()?;
        Some(answer.into_body().collect().await.ok()?.to_bytes())
    }
}

fn unreachable(service: Service) -> Answer {
    own(problem(
        StatusCode::SERVICE_UNAVAILABLE,
        "service_unavailable",
        &format!("{service} does not answer at the moment; try again, with the same Idempotency-Key"),
    ))
}

/// What the gateway's own pages have.
const OF_PAGES: &str = "GET, HEAD, OPTIONS";
const EVERY_METHOD: &str = "GET, PUT, POST, PATCH, DELETE, HEAD, OPTIONS";

fn options(allowed: &'static str) -> Response<Full<Bytes>> {
    Response::builder()
        .status(StatusCode::NO_CONTENT)
        .header(header::ALLOW, allowed)
        .body(Full::default())
        .expect("constant headers always make a response")
}

fn not_allowed() -> Response<Full<Bytes>> {
    let detail = format!("this address has the methods {OF_PAGES}");
    let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", &detail);
    let allow = HeaderValue::from_static(OF_PAGES);
    response.headers_mut().insert(header::ALLOW, allow);
    response
}

fn own(response: Response<Full<Bytes>>) -> Answer {
    response.map(Either::Right)
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
