use std::{io, path::PathBuf};

use tokio_postgres::error::DbError;

use crate::address::AddressError;

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(
        "DATABASE_CA and the sslrootcert of DATABASE_URL are different files: leave one of them out"
    )]
    TwoCas,
    #[error(
        "DATABASE_CA or sslrootcert is set, but no TLS is asked for: set DATABASE_SSLMODE to \
         verify-full"
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
        "DATABASE_URL leads to a connection pooler such as PgBouncer, which does not keep a \
         session's settings, locks and \
         notifications; give it PostgreSQL's own address (services pool their connections \
         themselves)"
    )]
    Pooler(#[source] Option<tokio_postgres::Error>),
}

impl ConnectError {
    /// The error of an attempt to connect. PostgreSQL accepts the parameters with which a session
    /// begins; a pooler refuses them.
    pub(crate) fn connecting(error: tokio_postgres::Error) -> Self {
        let refused = |error: &DbError| error.message().contains("unsupported startup parameter");
        if error.as_db_error().is_some_and(refused) {
            Self::Pooler(Some(error))
        } else {
            Self::Connect(error)
        }
    }
}
