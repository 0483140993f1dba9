use connect::ConnectError;

/// Why the outbox cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the outbox cannot be read")]
    Query(#[from] tokio_postgres::Error),
    #[error(
        "the relay's role {role} may not call pg_control_system(), which tells on which cluster a \
         database is, and the cursor does not tell it either; as a superuser, in this database: \
         GRANT EXECUTE ON FUNCTION pg_control_system() TO {role}"
    )]
    UnknownCluster { role: String },
}
