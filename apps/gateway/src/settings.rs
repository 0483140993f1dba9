use std::path::PathBuf;

use clap::Parser;
use hyper::Uri;
use limits::LimitSettings;
use telemetry::{Listen, LogSettings, OpsSettings, ShutdownSettings, traces::TraceSettings};

use crate::{admission::HostName, routes::Service};

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

    /// Host names of the store, without ports and with commas between them, or * for any. A request
    /// for another host is refused with 421: a web page whose name resolves to this address could
    /// otherwise make its visitors' browsers use the store
    #[arg(
        long,
        env = "ALLOWED_HOSTS",
        default_value = "localhost,127.0.0.1,[::1]",
        value_delimiter = ','
    )]
    pub allowed_hosts: Vec<HostName>,

    /// Proxies before the gateway, each of which appends the address of its client to
    /// X-Forwarded-For. With 0 that header is ignored
    #[arg(
        long,
        env = "TRUSTED_PROXIES",
        default_value_t = 0,
        value_parser = clap::value_parser!(u8).range(0..=10)
    )]
    pub trusted_proxies: u8,

    /// Has become TRUSTED_PROXIES
    #[arg(long, env = "TRUST_FORWARDED_FOR", hide = true)]
    pub trust_forwarded_for: bool,

    #[command(flatten)]
    pub limits: LimitSettings,

    /// Clients' connections that may be open
    #[arg(
        long,
        env = "MAX_CONNECTIONS",
        default_value_t = 2000,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub max_connections: u32,

    /// Clients' connections that may be open from one network. There is no such limit behind a
    /// proxy or with a RATE_LIMIT of 0
    #[arg(
        long,
        env = "MAX_CONNECTIONS_PER_NETWORK",
        default_value_t = 200,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub max_connections_per_network: u32,

    /// Seconds for which a client may read nothing of its answer
    #[arg(
        long,
        env = "GATEWAY_WRITE_TIMEOUT",
        default_value_t = 10,
        value_parser = clap::value_parser!(u64).range(1..=3600)
    )]
    pub write_timeout: u64,

    /// Seconds for which browsers should come over TLS only (HSTS). For a gateway behind TLS; with
    /// 0 the header is not sent
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
    /// The base address of a service.
    pub(crate) fn base_of(&self, service: Service) -> &Uri {
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
