use std::{io, path::PathBuf, time::Duration};

use tokio_postgres::{
    Client, Connection, Socket,
    error::DbError,
    tls::{MakeTlsConnect, NoTlsStream},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{Secret, tls};

/// Where a process's PostgreSQL is.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "PostgreSQL")]
pub struct PostgresSettings {
    /// The database, as postgres://user:password@host:port/name, or file:/path of a file that holds this
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Secret,

    /// How far TLS is demanded of the server, as libpq's sslmode
    #[arg(long, env = "DATABASE_SSLMODE", value_enum, default_value_t = SslMode::Disable)]
    pub database_sslmode: SslMode,

    /// PEM file of the authorities that may vouch for the server; needed by verify-ca and verify-full
    #[arg(long, env = "DATABASE_CA", value_name = "FILE")]
    pub database_ca: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum SslMode {
    /// No TLS
    Disable,
    /// TLS with whoever answers; with a CA also verified in full
    Require,
    /// TLS with a server that the CA vouches for, under any name
    VerifyCa,
    /// TLS with a server that the CA vouches for under the host's name
    VerifyFull,
}

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("DATABASE_URL is not of the form postgres://user:password@host:port/name")]
    Url(#[source] tokio_postgres::Error),
    #[error("cannot read the certificate authorities in {path}")]
    Ca { path: PathBuf, source: io::Error },
    #[error("no certificate authority: set DATABASE_CA to a PEM file that holds at least one")]
    CaMissing,
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    #[error("cannot connect to PostgreSQL")]
    Connect(#[source] tokio_postgres::Error),
    #[error(
        "DATABASE_URL leads to a connection pooler such as PgBouncer, which does not keep a session's settings, locks and \
         notifications; give it PostgreSQL's own address (services pool their connections themselves)"
    )]
    Pooler(#[source] Option<tokio_postgres::Error>),
}

impl ConnectError {
    /// PostgreSQL knows the parameters that a session begins with; a pooler does not.
    fn connecting(error: tokio_postgres::Error) -> Self {
        let refused = |error: &DbError| error.message().contains("unsupported startup parameter");
        if error.as_db_error().is_some_and(refused) {
            Self::Pooler(Some(error))
        } else {
            Self::Connect(error)
        }
    }
}

/// An open line to PostgreSQL: the client, and the connection that somebody has to drive.
#[expect(
    clippy::large_enum_variant,
    reason = "made once per connection and taken apart at once"
)]
pub enum Line {
    Plain(Client, Connection<Socket, NoTlsStream>),
    Tls(
        Client,
        Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>,
    ),
}

impl PostgresSettings {
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            database_url: Secret::new(url),
            database_sslmode: SslMode::Disable,
            database_ca: None,
        }
    }

    /// Opens a session that commits synchronously and shows as `application` in `pg_stat_activity`.
    pub async fn open(&self, application: &str) -> Result<Line, ConnectError> {
        let mut config: tokio_postgres::Config =
            self.database_url.expose().parse().map_err(ConnectError::Url)?;
        config
            .application_name(application)
            // An event must never be seen before it is durable.
            .options("-c synchronous_commit=on -c timezone=UTC")
            .connect_timeout(Duration::from_secs(5))
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3)
            .tcp_user_timeout(Duration::from_secs(30));
        if self.database_sslmode == SslMode::Disable {
            config.ssl_mode(tokio_postgres::config::SslMode::Disable);
            let (client, connection) = config
                .connect(tokio_postgres::NoTls)
                .await
                .map_err(ConnectError::connecting)?;
            return Ok(Line::Plain(client, connection));
        }
        config.ssl_mode(tokio_postgres::config::SslMode::Require);
        let tls = tls::client_config(self.database_sslmode, self.database_ca.as_deref())?;
        let connector = MakeRustlsConnect::new(tls);
        let (client, connection) = config
            .connect(connector)
            .await
            .map_err(ConnectError::connecting)?;
        Ok(Line::Tls(client, connection))
    }
}
