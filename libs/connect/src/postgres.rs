use std::path::PathBuf;

use tokio_postgres::{
    Client, Connection, Socket,
    tls::{MakeTlsConnect, NoTlsStream},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{Secret, address::Address, error::ConnectError, ssl_mode::SslMode, tls};

/// How a process reaches PostgreSQL.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "PostgreSQL")]
pub struct PostgresSettings {
    /// The database, as postgres://user:password@host:port/name?parameter=value with the parameters
    /// of libpq, or file:/path of a file that holds this
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Secret,

    /// Which TLS the server must have, as libpq's sslmode; a sslmode in the address may demand more
    #[arg(long, env = "DATABASE_SSLMODE", value_enum, default_value_t = SslMode::Disable)]
    pub database_sslmode: SslMode,

    /// PEM file of the authorities that may vouch for the server, as libpq's sslrootcert; needed by
    /// verify-ca and verify-full
    #[arg(long, env = "DATABASE_CA", value_name = "FILE")]
    pub database_ca: Option<PathBuf>,
}

/// An open connection to PostgreSQL: the client, and the future that the caller must poll so that
/// the client's requests are sent.
#[expect(
    clippy::large_enum_variant,
    reason = "made once per connection and taken apart at once"
)]
pub enum PgConnection {
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

    /// Refuses settings with which no attempt can connect. It sends nothing.
    pub fn check(&self) -> Result<(), ConnectError> {
        self.plan().map(drop)
    }

    /// Opens a session that commits synchronously and shows as `application` in `pg_stat_activity`.
    /// Its TLS is at least as strong as the settings and the address ask for.
    pub async fn open(&self, application: &str) -> Result<PgConnection, ConnectError> {
        let (mut config, tls) = self.plan()?;
        config.application_name(application);
        let Some(tls) = tls else {
            let connected = config.connect(tokio_postgres::NoTls).await;
            let (client, connection) = connected.map_err(ConnectError::connecting)?;
            return Ok(PgConnection::Plain(client, connection));
        };
        let connected = config.connect(MakeRustlsConnect::new(tls)).await;
        let (client, connection) = connected.map_err(ConnectError::connecting)?;
        Ok(PgConnection::Tls(client, connection))
    }

    /// The driver's configuration, and that of TLS unless it is disabled.
    fn plan(&self) -> Result<(tokio_postgres::Config, Option<rustls::ClientConfig>), ConnectError> {
        let Address {
            mut config,
            sslmode,
            sslrootcert,
        } = Address::parse(self.database_url.expose())?;
        // Another session must never see an event before it is durable.
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
