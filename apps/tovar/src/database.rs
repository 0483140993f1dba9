//! Sessions in the services' databases.

use std::collections::BTreeMap;

use anyhow::Context;
use connect::{PgConnection, PostgresSettings};
use tokio_postgres::{Client, IsolationLevel, Transaction};

use crate::services::ServiceInfo;

const APPLICATION: &str = "cargo-tovar";

/// Opens a session in the database at `url`.
pub async fn open(url: &str) -> anyhow::Result<Client> {
    let client = match PostgresSettings::new(url).open(APPLICATION).await? {
        PgConnection::Plain(client, connection) => {
            // The task ends with the client, which gets its errors too.
            tokio::spawn(connection);
            client
        }
        PgConnection::Tls(client, connection) => {
            tokio::spawn(connection);
            client
        }
    };
    Ok(client)
}

/// Opens a session in a service's database, at its address in a store file.
pub async fn open_of(
    addresses: &BTreeMap<String, String>,
    service: &ServiceInfo,
) -> anyhow::Result<Client> {
    let name = service.name;
    let url = addresses
        .get(name)
        .with_context(|| format!("the store file has no address for the database of {name}"))?;
    open(url)
        .await
        .with_context(|| format!("the database of {name} cannot be reached"))
}

/// Begins a read-only transaction that sees one instant of the database.
pub async fn one_instant(client: &mut Client) -> anyhow::Result<Transaction<'_>> {
    Ok(client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?)
}
