use std::path::PathBuf;

use db::DbSettings;
use idempotency::IdempotencySettings;
use inbox::InboxSettings;
use kernel::Currency;
use limits::LimitSettings;
use reqwest::Url;
use telemetry::{Listen, LogSettings, OpsSettings, ShutdownSettings, traces::TraceSettings};

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
    pub http_listen: Listen,

    /// Address of the same API over TLS; port 0 takes a free one. Without it there is no TLS
    #[arg(
        long,
        env = "HTTPS_LISTEN",
        requires = "https_certificate",
        requires = "https_key",
        help_heading = "HTTP"
    )]
    pub https_listen: Option<Listen>,

    /// PEM file of the certificate for HTTPS_LISTEN, and of those between it and its authority
    #[arg(
        long,
        env = "HTTPS_CERTIFICATE",
        value_name = "FILE",
        requires = "https_listen",
        help_heading = "HTTP"
    )]
    pub https_certificate: Option<PathBuf>,

    /// PEM file of the certificate's private key
    #[arg(
        long,
        env = "HTTPS_KEY",
        value_name = "FILE",
        requires = "https_listen",
        help_heading = "HTTP"
    )]
    pub https_key: Option<PathBuf>,

    /// Threads that serve HTTP
    #[arg(
        long,
        env = "HTTP_WORKERS",
        default_value_t = 2,
        value_parser = clap::value_parser!(u16).range(1..=64),
        help_heading = "HTTP"
    )]
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
    #[arg(
        long,
        env = "HTTP_BODY_TIMEOUT",
        default_value_t = 10,
        help_heading = "HTTP"
    )]
    pub http_body_timeout: u64,

    /// Proxies before the service, each of which appends the address of its client to
    /// X-Forwarded-For; the gateway is the last of them. With 0 that header is ignored
    #[arg(
        long,
        env = "TRUSTED_PROXIES",
        default_value_t = 1,
        value_parser = clap::value_parser!(u8).range(0..=10),
        help_heading = "HTTP"
    )]
    pub trusted_proxies: u8,

    /// Seconds that accepted requests have to finish when the service stops
    #[arg(
        long,
        env = "SHUTDOWN_GRACE",
        default_value_t = 20,
        help_heading = "HTTP"
    )]
    pub shutdown_grace: u64,

    /// The shop's currency by ISO 4217; the same for all services
    #[arg(
        long,
        env = "SHOP_CURRENCY",
        default_value = "EUR",
        help_heading = "Shop"
    )]
    pub shop_currency: Currency,

    /// Bring the database up to date and exit
    #[arg(long, env = "MIGRATE_ONLY", help_heading = "PostgreSQL")]
    pub migrate_only: bool,

    #[command(flatten)]
    pub limits: LimitSettings,
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

    /// Milliseconds between two readings of the database for the metrics: the state of the outbox,
    /// parked events, PostgreSQL's counts. Invariants are checked a sixth as often at most
    #[arg(
        long,
        env = "READINGS_EVERY",
        default_value_t = 5000,
        value_parser = clap::value_parser!(u64).range(100..=60_000),
        help_heading = "Health and metrics"
    )]
    pub readings_every: u64,

    /// Days for which an entry of the security log is kept, in the table security_events
    #[arg(
        long,
        env = "SECURITY_LOG_DAYS",
        default_value_t = 365,
        value_parser = clap::value_parser!(u16).range(30..=3650),
        help_heading = "Security log"
    )]
    pub security_log_days: u16,

    #[command(flatten)]
    pub traces: TraceSettings,
    #[command(flatten)]
    pub log: LogSettings,
    #[command(flatten)]
    pub shutdown: ShutdownSettings,
}

/// Settings for the verification of access tokens.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Access tokens")]
pub struct TokenSettings {
    /// Address of the public token keys, such as https://users:8443/.well-known/jwks.json; the
    /// service users has the keys itself
    #[arg(long, env = "JWKS_URL")]
    pub jwks_url: Option<Url>,

    /// PEM file of the authorities that may vouch for the host of JWKS_URL; needed with https
    #[arg(long, env = "JWKS_CA", value_name = "FILE")]
    pub jwks_ca: Option<PathBuf>,

    /// Seconds after which the public token keys are fetched again: a revoked key is refused after
    /// that
    #[arg(
        long,
        env = "JWKS_REFRESH_SECONDS",
        default_value_t = 60,
        value_parser = clap::value_parser!(u64).range(1..=3600)
    )]
    pub jwks_refresh_seconds: u64,

    /// Hours for which the public token keys are believed while they cannot be fetched
    #[arg(
        long,
        env = "JWKS_AGE_HOURS",
        default_value_t = 24,
        value_parser = clap::value_parser!(u64).range(1..=8760)
    )]
    pub jwks_age_hours: u64,

    /// Seconds for which a token may be valid at most, from its issue to its end: at least
    /// TOKEN_LIFETIME of users
    #[arg(
        long,
        env = "TOKEN_MOST_SECONDS",
        default_value_t = 3600,
        value_parser = clap::value_parser!(i64).range(1..=86_400)
    )]
    pub token_most_seconds: i64,

    /// Issuer that a token must name
    #[arg(long, env = "TOKEN_ISSUER", default_value = "tovar")]
    pub token_issuer: String,

    /// Audience that a token must name
    #[arg(long, env = "TOKEN_AUDIENCE", default_value = "tovar")]
    pub token_audience: String,

    /// Seconds after which a log-in is too old to take money out or to delete the account; the same
    /// for users and billing
    #[arg(
        long,
        env = "FRESH_LOGIN_SECONDS",
        default_value_t = 300,
        value_parser = clap::value_parser!(u32).range(1..=86_400)
    )]
    pub fresh_login_seconds: u32,
}
