use std::{io, path::PathBuf};

use tokio_postgres::{
    Client, Connection, Socket,
    error::DbError,
    tls::{MakeTlsConnect, NoTlsStream},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{
    Secret,
    address::{Address, AddressError},
    tls,
};

/// Where a process's PostgreSQL is.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "PostgreSQL")]
pub struct PostgresSettings {
    /// The database, as postgres://user:password@host:port/name?parameter=value with the parameters
    /// of libpq, or file:/path of a file that holds this
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Secret,

    /// How far TLS is demanded of the server, as libpq's sslmode; the address may demand more by a
    /// sslmode of its own
    #[arg(long, env = "DATABASE_SSLMODE", value_enum, default_value_t = SslMode::Disable)]
    pub database_sslmode: SslMode,

    /// PEM file of the authorities that may vouch for the server, as libpq's sslrootcert; needed by
    /// verify-ca and verify-full
    #[arg(long, env = "DATABASE_CA", value_name = "FILE")]
    pub database_ca: Option<PathBuf>,
}

/// From the weakest to the strongest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, clap::ValueEnum)]
pub enum SslMode {
    /// No TLS
    Disable,
    /// TLS if the server knows it; with a CA also verified in full
    #[value(alias = "allow")]
    Prefer,
    /// TLS with whoever answers; with a CA also verified in full
    Require,
    /// TLS with a server that the CA vouches for, under any name
    VerifyCa,
    /// TLS with a server that the CA vouches for under the host's name
    VerifyFull,
}

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(
        "DATABASE_CA and the sslrootcert of DATABASE_URL are different files: leave one of them out"
    )]
    TwoCas,
    #[error(
        "DATABASE_CA or sslrootcert is set, but no TLS is asked for: set DATABASE_SSLMODE to verify-full"
    )]
    CaUnused,
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

    /// Refuses what no attempt could connect with. Nothing is sent.
    pub fn check(&self) -> Result<(), ConnectError> {
        self.plan().map(drop)
    }

    /// Opens a session that commits synchronously and shows as `application` in `pg_stat_activity`.
    /// It is never weaker than the settings or the address ask for.
    pub async fn open(&self, application: &str) -> Result<Line, ConnectError> {
        let (mut config, tls) = self.plan()?;
        config.application_name(application);
        let Some(tls) = tls else {
            let connected = config.connect(tokio_postgres::NoTls).await;
            let (client, connection) = connected.map_err(ConnectError::connecting)?;
            return Ok(Line::Plain(client, connection));
        };
        let connected = config.connect(MakeRustlsConnect::new(tls)).await;
        let (client, connection) = connected.map_err(ConnectError::connecting)?;
        Ok(Line::Tls(client, connection))
    }

    /// How to connect; without TLS's part where none is asked for.
    fn plan(&self) -> Result<(tokio_postgres::Config, Option<rustls::ClientConfig>), ConnectError> {
        let Address {
            mut config,
            sslmode,
            sslrootcert,
        } = Address::parse(self.database_url.expose())?;
        // An event must never be seen before it is durable.
        let own = "-c synchronous_commit=on -c timezone=UTC";
        let options = config.get_options().map(|theirs| format!("{theirs} {own}"));
        config.options(options.unwrap_or_else(|| own.to_owned()));
        let ca = match (&self.database_ca, &sslrootcert) {
            (Some(one), Some(other)) if one != other => return Err(ConnectError::TwoCas),
            (one, other) => one.as_deref().or(other.as_deref()),
        };
        let mode = self.database_sslmode.max(sslmode);
        config.ssl_mode(match mode {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            _ => tokio_postgres::config::SslMode::Require,
        });
        match (mode, ca) {
            (SslMode::Disable, Some(_)) => Err(ConnectError::CaUnused),
            (SslMode::Disable, None) => Ok((config, None)),
            _ => Ok((config, Some(tls::client_config(mode, ca)?))),
        }
    }
}
