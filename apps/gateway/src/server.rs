use std::{io::Write, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use limits::Limits;
use telemetry::Ops;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    admission::Admission,
    connections::{BUFFER_MAX_BYTES, Connections, TimedWrites, too_many_connections},
    connector::service_connector,
    journal::Journal,
    metrics::{GatewayMetrics, TOO_MANY_CONNECTIONS},
    proxy::Proxy,
    settings::GatewaySettings,
};

/// A gateway that was started.
pub struct Running {
    /// Address of the gateway itself.
    pub address: SocketAddr,
    /// Address of health and metrics.
    pub ops_address: SocketAddr,
    stop: CancellationToken,
    served: JoinHandle<()>,
    journal: Option<Arc<Journal>>,
    _ops: Ops,
}

impl Running {
    /// Accepts no more requests, and finishes those it has.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Err(error) = (&mut self.served).await {
            tracing::error!(%error, "the gateway did not stop in good order");
        }
        self.journal_written().await;
    }

    /// Waits until every answer so far is in the journal's file, if there is one.
    pub async fn journal_written(&self) {
        if let Some(journal) = &self.journal {
            journal.flush().await;
        }
    }
}

/// Starts the gateway: listens, and passes requests on until [`Running::stop`].
pub async fn start(settings: GatewaySettings) -> anyhow::Result<Running> {
    if settings.trust_forwarded_for {
        bail!(
            "TRUST_FORWARDED_FOR has become TRUSTED_PROXIES: set it to the number of proxies \
             before the gateway"
        );
    }
    let listener = settings.listen.open().await.with_context(|| {
        format!(
            "cannot listen on {}; set GATEWAY_LISTEN to a free address",
            settings.listen
        )
    })?;
    let address = listener.local_addr()?;
    telemetry::traces::export(&settings.traces);
    let mut registry = telemetry::registry("gateway", "gateway");
    let metrics = GatewayMetrics::register(&mut registry);
    let ready = Arc::new(
        || -> std::pin::Pin<Box<dyn Future<Output = Result<(), String>> + Send>> {
            Box::pin(std::future::ready(Ok(())))
        },
    );
    let ops = Ops::start(
        &settings.ops,
        Arc::new(std::sync::Mutex::new(registry)),
        ready,
    )
    .await?;
    let grace = Duration::from_secs(settings.shutdown_grace);
    let stop = CancellationToken::new();
    let journal = match &settings.journal {
        None => None,
        Some(path) => {
            let opened = Journal::open(path, metrics.journal_dropped.clone());
            let opened = opened
                .with_context(|| format!("the journal {} cannot be written", path.display()))?;
            Some(Arc::new(opened))
        }
    };
    let limits = Arc::new(Limits::new(&settings.limits));
    let sweeper = limits.clone();
    let until_stop = stop.clone();
    tokio::spawn(async move { until_stop.run_until_cancelled(sweeper.keep_small()).await });
    let limits_of_connections = ConnectionLimits::of(&settings, &metrics);
    let connector = service_connector(&settings)?;
    let admission = Admission::new(
        limits,
        &settings.allowed_hosts,
        settings.trusted_proxies.into(),
    );
    let proxy = Arc::new(Proxy::new(
        settings,
        admission,
        &connector,
        metrics,
        journal.clone(),
        stop.clone(),
    ));
    let served = tokio::spawn(serve(
        listener,
        proxy,
        limits_of_connections,
        stop.clone(),
        grace,
    ));
    tracing::info!(%address, ops = %ops.address, "serving");
    Ok(Running {
        address,
        ops_address: ops.address,
        stop,
        served,
        journal,
        _ops: ops,
    })
}

/// The limits of clients' connections.
struct ConnectionLimits {
    connections: Connections,
    write_timeout: Duration,
    metrics: GatewayMetrics,
}

/// How long a request's head may take, and the pause before the next request of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
impl ConnectionLimits {
    fn of(settings: &GatewaySettings, metrics: &GatewayMetrics) -> Self {
        let is_limited = settings.limits.is_limited() && settings.trusted_proxies == 0;
        let max_per_network = is_limited.then_some(settings.max_connections_per_network as usize);
        let max = settings.max_connections as usize;
        Self {
            connections: Connections::new(max, max_per_network, metrics.connections.clone()),
            write_timeout: Duration::from_secs(settings.write_timeout),
            metrics: metrics.clone(),
        }
    }
}

async fn serve(
    listener: TcpListener,
    proxy: Arc<Proxy>,
    limits: ConnectionLimits,
    stop: CancellationToken,
    grace: Duration,
) {
    let graceful = GracefulShutdown::new();
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_header_size(BUFFER_MAX_BYTES)
        .max_buf_size(BUFFER_MAX_BYTES);
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let Ok((stream, peer)) = accepted else {
            // Out of file descriptors: wait for some to be freed instead of spinning.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Some(permit) = limits.connections.acquire(limits::network(peer.ip())) else {
            limits.metrics.refuse(TOO_MANY_CONNECTIONS);
            refuse_connection(stream);
            continue;
        };
        // Small answers should not wait for more data; if this fails, they only arrive later.
        let _ = stream.set_nodelay(true);
        let proxy = proxy.clone();
        let service = service_fn(move |request| {
            let proxy = proxy.clone();
            async move { proxy.forward(request, peer.ip()).await }
        });
        let stream = TokioIo::new(TimedWrites::new(stream, limits.write_timeout));
        let connection = graceful.watch(http.serve_connection(stream, service));
        tokio::spawn(async move {
            let _permit = permit;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a client's connection ended");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(grace, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("some requests did not finish within the grace period");
    }
}

/// Sends the reason, and closes the connection, so that a refused one costs no more than that. The
/// answer is not sent if the client cannot receive it at once.
fn refuse_connection(stream: TcpStream) {
    if let Ok(mut stream) = stream.into_std() {
        let _ = stream.write_all(&too_many_connections());
    }
}
