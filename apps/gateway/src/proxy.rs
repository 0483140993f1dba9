use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Duration};

use futures_util::StreamExt;
use http_body_util::{BodyExt, BodyStream, Either, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    body::{Bytes, Incoming},
    header::{self, HeaderValue},
};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use kernel::TraceParent;
use telemetry::traces::{Kind, Span};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    admission::{Admission, Refused},
    connections::BUFFER_MAX_BYTES,
    connector::ServiceConnector,
    docs::{self, Problems},
    headers::{self, remove_hop_by_hop},
    journal::Journal,
    metrics::GatewayMetrics,
    problem::problem,
    routes::{Route, Service, route},
    settings::GatewaySettings,
    templates,
};

/// Passes requests on to the services, body and answer as streams.
pub struct Proxy {
    settings: GatewaySettings,
    admission: Admission,
    client: Client<ServiceConnector, Incoming>,
    problems: Problems,
    transport_security: Option<HeaderValue>,
    metrics: GatewayMetrics,
    journal: Option<Arc<Journal>>,
    stop: CancellationToken,
}

type Answer = Response<Body>;
/// A service's answer, an event stream, or a page of the gateway's own.
type Body = Either<Either<Incoming, UnsyncBoxBody<Bytes, hyper::Error>>, Full<Bytes>>;

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

impl Proxy {
    /// After `stop` event streams are ended, which their clients resume; all other requests are
    /// finished.
    pub fn new(
        settings: GatewaySettings,
        admission: Admission,
        connector: &ServiceConnector,
        metrics: GatewayMetrics,
        journal: Option<Arc<Journal>>,
        stop: CancellationToken,
    ) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            // Shorter than the services' keep-alive, so that no request is sent on a connection
            // that its service is closing.
            .pool_idle_timeout(Duration::from_secs(3))
            .http1_max_buf_size(BUFFER_MAX_BYTES)
            .build(connector.clone());
        let transport_security =
            headers::transport_security(Duration::from_secs(settings.hsts_seconds));
        Self {
            settings,
            admission,
            client,
            problems: Problems::new(connector),
            transport_security,
            metrics,
            journal,
            stop,
        }
    }

    /// Passes a request on or answers it; it is counted when its answer begins. It begins a trace
    /// of the store's own, with a link to the client's trace: if the client's trace went on, a
    /// stranger could hide requests, or add lines to the trace of another customer's order.
    pub async fn forward(
        &self,
        mut request: Request<Incoming>,
        peer: IpAddr,
    ) -> Result<Answer, Infallible> {
        let began = Instant::now();
        let path = request.uri().path().to_owned();
        let template = templates::of(request.method().as_str(), &path);
        let theirs = request.headers().get("traceparent");
        let theirs = theirs.and_then(|header| header.to_str().ok()?.parse::<TraceParent>().ok());
        let trace = TraceParent::root();
        let step = Span::begin("gateway", Kind::Server, trace, None, || {
            format!("{} {}", template.method, template.route)
        });
        let step = match theirs {
            None => step,
            Some(theirs) => step.linked(theirs),
        };
        for of_their_trace in ["tracestate", "baggage"] {
            request.headers_mut().remove(of_their_trace);
        }
        if let Ok(header) = HeaderValue::from_str(&trace.to_string()) {
            request.headers_mut().insert("traceparent", header);
        }
        let sender = self.admission.sender(request.headers(), peer);
        let (mut answer, status, step) = match self.admission.admit(&request, sender) {
            Ok(()) => {
                let (answer, status) = self.answer(&path, request, sender).await;
                (answer, status, step)
            }
            // Not worth a span: there may be very many.
            Err(refused) => {
                let answer = self.refuse(refused);
                let status = answer.status().as_u16();
                (answer, Some(status), Span::none())
            }
        };
        headers::complete(answer.headers_mut(), self.transport_security.as_ref());
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

    fn refuse(&self, refused: Refused) -> Answer {
        self.metrics.refuse(refused.label());
        own(refused.answer())
    }

    /// The answer, and its status unless the service could not be reached.
    async fn answer(
        &self,
        path: &str,
        request: Request<Incoming>,
        sender: IpAddr,
    ) -> (Answer, Option<u16>) {
        let is_known = METHODS.contains(&request.method().as_str());
        let answer = match route(path) {
            // A method that a stranger made up is not passed on.
            Route::To(_, own_path) if !is_known => {
                let is_page = own_path.starts_with("/docs/");
                let allowed = if is_page {
                    Some(PAGE_METHODS.to_owned())
                } else {
                    templates::allowed(path)
                };
                own(allowed.map_or_else(no_such_route, |allowed| not_allowed(&allowed)))
            }
            Route::To(service, path) => match self.pass_on(service, &path, request, sender).await {
                Some(answer) => answer,
                None => return (unreachable(service), None),
            },
            Route::Server if request.method() == Method::OPTIONS => own(options(EVERY_METHOD)),
            Route::DocsIndex | Route::Problems | Route::Redirect(_)
                if request.method() == Method::OPTIONS =>
            {
                own(options(PAGE_METHODS))
            }
            Route::DocsIndex | Route::Problems | Route::Redirect(_)
                if ![Method::GET, Method::HEAD].contains(request.method()) =>
            {
                own(not_allowed(PAGE_METHODS))
            }
            Route::DocsIndex => own(docs::index()),
            Route::Problems => own(self.problems.answer(&self.settings).await),
            Route::Redirect(location) => own(docs::redirect(&location)),
            Route::Server | Route::Unknown => own(no_such_route()),
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
        sender: IpAddr,
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
        // The sender is known by now; the client's own entries do not count.
        head.headers.remove("x-forwarded-for");
        if let Ok(sender) = HeaderValue::from_str(&sender.to_string()) {
            head.headers.insert("x-forwarded-for", sender);
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
                tracing::warn!(%service, error = kernel::cause_chain(&error), "a service cannot \
                                                                               be reached");
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
}

fn unreachable(service: Service) -> Answer {
    own(problem(
        StatusCode::SERVICE_UNAVAILABLE,
        "service_unavailable",
        &format!(
            "{service} does not answer at the moment; try again, with the same Idempotency-Key"
        ),
    ))
}

/// The methods of the gateway's own pages.
const PAGE_METHODS: &str = "GET, HEAD, OPTIONS";
/// The methods that the store knows.
const METHODS: [&str; 7] = ["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS"];
const EVERY_METHOD: &str = "GET, PUT, POST, PATCH, DELETE, HEAD, OPTIONS";

fn options(allowed: &'static str) -> Response<Full<Bytes>> {
    Response::builder()
        .status(StatusCode::NO_CONTENT)
        .header(header::ALLOW, allowed)
        .body(Full::default())
        .expect("constant headers always make a response")
}

fn no_such_route() -> Response<Full<Bytes>> {
    problem(
        StatusCode::NOT_FOUND,
        "no_such_route",
        "there is nothing at this address; /api/docs/ shows what there is",
    )
}

fn not_allowed(allowed: &str) -> Response<Full<Bytes>> {
    let detail = format!("this address has the methods {allowed}");
    let mut response = problem(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        &detail,
    );
    let allow = HeaderValue::from_str(allowed).expect("names of methods make a header");
    response.headers_mut().insert(header::ALLOW, allow);
    response
}

fn own(response: Response<Full<Bytes>>) -> Answer {
    response.map(Either::Right)
}
