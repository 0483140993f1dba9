//! The gateway: one base address for the six services. It knows which path belongs to whom, and
//! nothing else.

mod connections;
mod docs;
mod door;
mod headers;
mod journal;
mod metrics;
mod problem;
mod proxy;
pub mod routes;
pub mod templates;
mod ways;

use std::{io::Write, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use clap::Parser;
use hyper::{Uri, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use limits::{LimitSettings, Limits};
use telemetry::{Listen, LogSettings, Ops, OpsSettings, ShutdownSettings, traces::TraceSettings};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

pub use crate::door::{HostName, InvalidHostName};
use crate::{
    connections::{Connections, Unhurried, no_place},
    door::Door,
    journal::Journal,
    metrics::{GatewayMetrics, NO_PLACE},
    proxy::Proxy,
    routes::Service,
    ways::Ways,
};

/// The gateway: one base address for the six services.
#[derive(Clone, Debug, Parser)]
#[command(name = "gateway", version)]
pub struct GatewaySettings {
    /// Address to listen on
    #[arg(long, env = "GATEWAY_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: Listen,

    /// Base address of users, such as https://users:8443; with https SERVICES_CA is needed
    #[arg(long, env = "USERS_URL", default_value = "http://127.0.0.1:8081")]
    pub users: Uri,

    /// Base address of billing
    #[arg(long, env = "BILLING_URL", default_value = "http://127.0.0.1:8082")]
    pub billing: Uri,

    /// Base address of orders
    #[arg(long, env = "ORDERS_URL", default_value = "http://127.0.0.1:8083")]
    pub orders: Uri,

    /// Base address of warehouse
    #[arg(long, env = "WAREHOUSE_URL", default_value = "http://127.0.0.1:8084")]
    pub warehouse: Uri,

    /// Base address of delivery
    #[arg(long, env = "DELIVERY_URL", default_value = "http://127.0.0.1:8085")]
    pub delivery: Uri,

    /// Base address of notifications
    #[arg(
        long,
        env = "NOTIFICATIONS_URL",
        default_value = "http://127.0.0.1:8086"
    )]
    pub notifications: Uri,

    /// PEM file of the authorities that may vouch for services whose base address is https
    #[arg(long, env = "SERVICES_CA", value_name = "FILE")]
    pub services_ca: Option<PathBuf>,

    /// Host names by which the store may be asked for, without ports and with commas between them,
    /// or * for any. A request for another one is refused with 421: a web page whose name leads
    /// here would otherwise have the browsers of others use the store
    #[arg(
        long,
        env = "ALLOWED_HOSTS",
        default_value = "localhost,127.0.0.1,[::1]",
        value_delimiter = ','
    )]
    pub allowed_hosts: Vec<HostName>,

    /// Proxies before the gateway, each of which appends to X-Forwarded-For who has asked it. With
    /// 0 the client is who has connected, whatever it says
    #[arg(long, env = "TRUSTED_PROXIES", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=10))]
    pub trusted_proxies: u8,

    /// Has become TRUSTED_PROXIES
    #[arg(long, env = "TRUST_FORWARDED_FOR", hide = true)]
    pub trust_forwarded_for: bool,

    #[command(flatten)]
    pub limits: LimitSettings,

    /// Clients' connections that may be open
    #[arg(long, env = "MAX_CONNECTIONS", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: u32,

    /// Clients' connections that may be open from one network. It does not count where a proxy
    /// stands before the gateway, or with a RATE_LIMIT of 0
    #[arg(long, env = "MAX_CONNECTIONS_PER_NETWORK", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections_per_network: u32,

    /// Seconds for which a client may take nothing of its answer
    #[arg(long, env = "GATEWAY_WRITE_TIMEOUT", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub write_timeout: u64,

    /// Seconds for which browsers come over TLS only, once they were told (HSTS). For a gateway
    /// that stands behind TLS; with 0 they are not told
    #[arg(long, env = "HSTS_SECONDS", default_value_t = 0)]
    pub hsts_seconds: u64,

    /// Seconds within which a service must begin its answer
    #[arg(long, env = "GATEWAY_TIMEOUT", default_value_t = 30)]
    pub timeout: u64,

    /// File to which a JSON line is added for each request; without it there is no journal
    #[arg(long, env = "GATEWAY_JOURNAL", value_name = "FILE")]
    pub journal: Option<PathBuf>,

    /// Seconds that accepted requests have to finish when the gateway stops
    #[arg(long, env = "SHUTDOWN_GRACE", default_value_t = 20)]
    pub shutdown_grace: u64,

    #[command(flatten)]
    pub ops: OpsSettings,
    #[command(flatten)]
    pub traces: TraceSettings,
    #[command(flatten)]
    pub log: LogSettings,
    #[command(flatten)]
    pub shutdown: ShutdownSettings,
}

impl GatewaySettings {
    fn base_of(&self, service: Service) -> &Uri {
        match service {
            Service::Users => &self.users,
            Service::Billing => &self.billing,
            Service::Orders => &self.orders,
            Service::Warehouse => &self.warehouse,
            Service::Delivery => &self.delivery,
            Service::Notifications => &self.notifications,
        }
    }
}

/// A gateway that was started.
pub struct Running {
    pub address: SocketAddr,
    pub ops_address: SocketAddr,
    stop: CancellationToken,
    served: JoinHandle<()>,
    journal: Option<Arc<Journal>>,
    _ops: Ops,
}

impl Running {
    /// Takes no more requests, and finishes those it has.
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

pub async fn start(settings: GatewaySettings) -> anyhow::Result<Running> {
    if settings.trust_forwarded_for {
        bail!(
            "TRUST_FORWARDED_FOR has become TRUSTED_PROXIES: set it to the number of proxies before the gateway"
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
    let bounds = Bounds::of(&settings, &metrics);
    let ways = Ways::new(&settings)?;
    let door = Door::new(
        limits,
        &settings.allowed_hosts,
        settings.trusted_proxies.into(),
    );
    let proxy = Arc::new(Proxy::new(
        settings,
        door,
        &ways,
        metrics,
        journal.clone(),
        stop.clone(),
    ));
    let served = tokio::spawn(serve(listener, proxy, bounds, stop.clone(), grace));
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

/// What clients' connections may cost.
struct Bounds {
    connections: Connections,
    write_timeout: Duration,
    metrics: GatewayMetrics,
}

/// Within which a request's head must be there, and the next one of the same connection.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// Bytes that a connection keeps of a request, whose head is not larger, and of an answer.
const LARGEST_BUFFER: usize = 32 * 1024;

impl Bounds {
    fn of(settings: &GatewaySettings, metrics: &GatewayMetrics) -> Self {
        let of_network = settings.limits.is_limited() && settings.trusted_proxies == 0;
        let of_network = of_network.then_some(settings.max_connections_per_network as usize);
        let most = settings.max_connections as usize;
        Self {
            connections: Connections::new(most, of_network, metrics.connections.clone()),
            write_timeout: Duration::from_secs(settings.write_timeout),
            metrics: metrics.clone(),
        }
    }
}

async fn serve(
    listener: TcpListener,
    proxy: Arc<Proxy>,
    bounds: Bounds,
    stop: CancellationToken,
    grace: Duration,
) {
    let graceful = GracefulShutdown::new();
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_header_size(LARGEST_BUFFER)
        .max_buf_size(LARGEST_BUFFER);
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let Ok((stream, peer)) = accepted else {
            // Out of file descriptors: wait for some to be freed instead of spinning.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Some(place) = bounds.connections.take(limits::network(peer.ip())) else {
            bounds.metrics.refuse(NO_PLACE);
            turn_away(stream);
            continue;
        };
        // Small answers must not wait for more; without it they still arrive, only later.
        let _ = stream.set_nodelay(true);
        let proxy = proxy.clone();
        let service = service_fn(move |request| {
            let proxy = proxy.clone();
            async move { proxy.forward(request, peer.ip()).await }
        });
        let stream = TokioIo::new(Unhurried::new(stream, bounds.write_timeout));
        let connection = graceful.watch(http.serve_connection(stream, service));
        tokio::spawn(async move {
            let _place = place;
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

/// Says why, and closes the connection: one without a place costs no more than that. A client that
/// does not take the words at once does not get them.
fn turn_away(stream: TcpStream) {
    if let Ok(mut stream) = stream.into_std() {
        let _ = stream.write_all(&no_place());
    }
}
