//! The gateway: one base address for the six services. It knows which path belongs to whom, and nothing else.

mod docs;
mod journal;
mod metrics;
mod problem;
mod proxy;
pub mod routes;
pub mod templates;
mod ways;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use clap::Parser;
use hyper::{Uri, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use telemetry::{Listen, LogSettings, Ops, OpsSettings, ShutdownSettings, traces::TraceSettings};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{journal::Journal, metrics::GatewayMetrics, proxy::Proxy, routes::Service, ways::Ways};

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
    #[arg(long, env = "NOTIFICATIONS_URL", default_value = "http://127.0.0.1:8086")]
    pub notifications: Uri,

    /// PEM file of the authorities that may vouch for services whose base address is https
    #[arg(long, env = "SERVICES_CA", value_name = "FILE")]
    pub services_ca: Option<PathBuf>,

    /// Believe the X-Forwarded-For of clients: for a gateway that only a proxy can reach
    #[arg(long, env = "TRUST_FORWARDED_FOR")]
    pub trust_forwarded_for: bool,

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
    let ops = Ops::start(&settings.ops, Arc::new(std::sync::Mutex::new(registry)), ready).await?;
    let grace = Duration::from_secs(settings.shutdown_grace);
    let stop = CancellationToken::new();
    let journal = match &settings.journal {
        None => None,
        Some(path) => {
            let opened = Journal::open(path, metrics.journal_dropped.clone());
            let opened =
                opened.with_context(|| format!("the journal {} cannot be written", path.display()))?;
            Some(Arc::new(opened))
        }
    };
    let ways = Ways::new(&settings)?;
    let proxy = Arc::new(Proxy::new(settings, ways, metrics, journal.clone(), stop.clone()));
    let served = tokio::spawn(serve(listener, proxy, stop.clone(), grace));
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

async fn serve(listener: TcpListener, proxy: Arc<Proxy>, stop: CancellationToken, grace: Duration) {
    let graceful = GracefulShutdown::new();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let Ok((stream, peer)) = accepted else {
            // Out of file descriptors: wait for some to be freed instead of spinning.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        // Small answers must not wait for more; without it they still arrive, only later.
        let _ = stream.set_nodelay(true);
        let proxy = proxy.clone();
        let service = service_fn(move |request| {
            let proxy = proxy.clone();
            async move { proxy.forward(request, peer).await }
        });
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(5));
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a client's connection ended");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not finish within the grace period");
    }
}
