use connect::{PgConnection, PostgresSettings};
use diesel::{ConnectionError, ConnectionResult};
use diesel_async::AsyncPgConnection;

/// Opens one connection, outside of any pool.
pub(crate) async fn connect(
    postgres: &PostgresSettings,
    application: &str,
) -> ConnectionResult<AsyncPgConnection> {
    let failed = |error: connect::ConnectError| {
        ConnectionError::CouldntSetupConfiguration(diesel::result::Error::QueryBuilderError(
            Box::new(error),
        ))
    };
    match postgres.open(application).await.map_err(failed)? {
        PgConnection::Plain(client, connection) => {
            AsyncPgConnection::try_from_client_and_connection(client, connection).await
        }
        PgConnection::Tls(client, connection) => {
            AsyncPgConnection::try_from_client_and_connection(client, connection).await
        }
    }
}
