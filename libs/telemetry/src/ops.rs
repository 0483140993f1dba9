use std::{
    convert::Infallible,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode, body::Bytes, header, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::{encoding::text, registry::Registry};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::Listen;

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Health and metrics")]
pub struct OpsSettings {
    /// Address of /health/live, /health/ready and /metrics; port 0 takes a free one
    #[arg(long, env = "OPS_LISTEN", default_value = "127.0.0.1:0")]
    pub ops_listen: Listen,
}

/// Tells whether the process can do its work now; `Err` holds the reason why it cannot.
pub type Readiness =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// The open second port of a process. Dropping it closes the port.
pub struct Ops {
    pub address: SocketAddr,
    _stop: DropGuard,
}

#[derive(Clone)]
struct OpsState {
    registry: Arc<Mutex<Registry>>,
    ready: Readiness,
}

impl Ops {
    /// Serves until dropped, on the runtime that calls this.
    pub async fn start(
        settings: &OpsSettings,
        registry: Arc<Mutex<Registry>>,
        ready: Readiness,
    ) -> io::Result<Self> {
        let listener = settings.ops_listen.open().await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        tokio::spawn(
            stop.clone()
                .run_until_cancelled_owned(serve(listener, OpsState { registry, ready })),
        );
        Ok(Self {
            address,
            _stop: stop.drop_guard(),
        })
    }
}

async fn serve(listener: TcpListener, state: OpsState) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors: wait for some to be freed instead of spinning.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let state = state.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, state.clone()));
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(5))
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "connection to the second port ended");
            }
        });
    }
}

async fn answer<B>(
    request: Request<B>,
    state: OpsState,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, content_type, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/health/live") => (StatusCode::OK, "text/plain", "live\n".to_owned()),
        (&Method::GET, "/health/ready") => match (state.ready)().await {
            Ok(()) => (StatusCode::OK, "text/plain", "ready\n".to_owned()),
            Err(reason) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "text/plain",
                format!("not ready: {reason}\n"),
            ),
        },
        (&Method::GET, "/metrics") => {
            let mut out = String::new();
            let registry = state
                .registry
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            match text::encode(&mut out, &registry) {
                Ok(()) => (
                    StatusCode::OK,
                    "application/openmetrics-text; version=1.0.0; charset=utf-8",
                    out,
                ),
                Err(error) => (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "text/plain",
                    format!("{error}\n"),
                ),
            }
        }
        _ => (
            StatusCode::NOT_FOUND,
            "text/plain",
            "/health/live, /health/ready, /metrics\n".to_owned(),
        ),
    };
    let response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, content_type)
        .body(Full::from(body))
        .expect("a constant status and header always make a response");
    Ok(response)
}
