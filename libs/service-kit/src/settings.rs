use std::net::SocketAddr;

use db::DbSettings;
use idempotency::IdempotencySettings;
use inbox::InboxSettings;
use kernel::Currency;
use telemetry::{LogSettings, OpsSettings, ShutdownSettings, traces::TraceSettings};

/// All settings of a service: those of the kit and its own.
#[derive(Clone, clap::Args)]
pub struct ServiceSettings<S: clap::Args> {
    #[command(flatten)]
    pub kit: KitSettings,
    #[command(flatten)]
    pub own: S,
}

/// The settings that every service has.
#[derive(Clone, Debug, clap::Args)]
pub struct KitSettings {
    /// Address of the HTTP API; port 0 takes a free one
    #[arg(
        long,
        env = "HTTP_LISTEN",
        default_value = "127.0.0.1:8080",
        help_heading = "HTTP"
    )]
    pub http_listen: SocketAddr,

    /// Threads that serve HTTP
    #[arg(long, env = "HTTP_WORKERS", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64), help_heading = "HTTP")]
    pub http_workers: u16,

    /// Bytes that a request's body may have
    #[arg(
        long,
        env = "HTTP_BODY_LIMIT",
        default_value_t = 65_536,
        help_heading = "HTTP"
    )]
    pub http_body_limit: usize,

    /// Seconds within which a request's body must have arrived
    #[arg(long, env = "HTTP_BODY_TIMEOUT", default_value_t = 10, help_heading = "HTTP")]
    pub http_body_timeout: u64,

    /// Requests that a caller may send a second in the long run; 0 is no limit
    #[arg(long, env = "RATE_LIMIT", default_value_t = 100, help_heading = "HTTP")]
    pub rate_limit: u32,

    /// Requests that a caller may send at once
    #[arg(long, env = "RATE_BURST", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..), help_heading = "HTTP")]
    pub rate_burst: u32,

    /// Seconds that accepted requests have to finish when the service stops
    #[arg(long, env = "SHUTDOWN_GRACE", default_value_t = 20, help_heading = "HTTP")]
    pub shutdown_grace: u64,

    /// The shop's currency by ISO 4217; the same for all services
    #[arg(long, env = "SHOP_CURRENCY", default_value = "EUR", help_heading = "Shop")]
    pub shop_currency: Currency,

    /// Bring the database up to date and exit
    #[arg(long, env = "MIGRATE_ONLY", help_heading = "PostgreSQL")]
    pub migrate_only: bool,

    #[command(flatten)]
    pub db: DbSettings,
    #[command(flatten)]
    pub kafka: connect::KafkaSettings,
    #[command(flatten)]
    pub inbox: InboxSettings,
    #[command(flatten)]
    pub idempotency: IdempotencySettings,
    #[command(flatten)]
    pub tokens: TokenSettings,
    #[command(flatten)]
    pub ops: OpsSettings,

    /// Milliseconds between two readings of the database for the metrics: where the outbox stands, what is parked, what
    /// PostgreSQL counts. Invariants are checked a sixth as often at most
    #[arg(long, env = "READINGS_EVERY", default_value_t = 5000, value_parser = clap::value_parser!(u64).range(100..=60_000), help_heading = "Health and metrics")]
    pub readings_every: u64,

    #[command(flatten)]
    pub traces: TraceSettings,
    #[command(flatten)]
    pub log: LogSettings,
    #[command(flatten)]
    pub shutdown: ShutdownSettings,
}

/// How callers prove who they are.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Access tokens")]
pub struct TokenSettings {
    /// Where the public token keys are, such as http://users:8080/.well-known/jwks.json; without it the
    /// service's own address, which is right for users only
    #[arg(long, env = "JWKS_URL")]
    pub jwks_url: Option<String>,

    /// Issuer that a token must name
    #[arg(long, env = "TOKEN_ISSUER", default_value = "tovar")]
    pub token_issuer: String,

    /// Audience that a token must name
    #[arg(long, env = "TOKEN_AUDIENCE", default_value = "tovar")]
    pub token_audience: String,

    /// Seconds after which a log-in is too old to take money out or to delete the account; the same
    /// for users and billing
    #[arg(long, env = "FRESH_LOGIN_SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub fresh_login_seconds: u32,
}
