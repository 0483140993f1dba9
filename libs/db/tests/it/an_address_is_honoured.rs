use connect::{PgConnection, PostgresSettings};

use crate::fixture::Fixture;

/// The value of a setting in a session of this address, or why there is no session.
async fn shown(url: &str, setting: &str) -> Result<String, String> {
    let line = PostgresSettings::new(url).open("db-test").await;
    let client = match line.map_err(|error| kernel::cause_chain(&error))? {
        PgConnection::Plain(client, connection) => {
            tokio::spawn(connection);
            client
        }
        PgConnection::Tls(client, connection) => {
            tokio::spawn(connection);
            client
        }
    };
    let row = client
        .query_one("SELECT current_setting($1)", &[&setting])
        .await;
    Ok(row.map_err(|error| error.to_string())?.get(0))
}

/// The server has no TLS: an address that asks for it gets an error.
#[tokio::test(flavor = "multi_thread")]
async fn no_line_is_weaker_than_its_address_asks_for() {
    let fixture = Fixture::new().await;
    let url = fixture.settings.postgres.database_url.expose();
    for (parameters, reached) in [
        ("sslmode=disable", true),
        ("sslmode=allow", true),
        ("sslmode=prefer", true),
        ("sslmode=require", false),
        ("sslmode=require&sslmode=disable", false),
        ("sslmode=verify-ca", false),
        ("sslmode=verify-full", false),
        ("ssl=true", false),
        ("channel_binding=require", false),
        ("gssencmode=require", false),
        ("target_session_attrs=read-write", true),
        ("target_session_attrs=read-only", false),
    ] {
        let found = shown(&format!("{url}?{parameters}"), "search_path").await;
        assert_eq!(found.is_ok(), reached, "{parameters}: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_options_of_an_address_reach_the_session() {
    let fixture = Fixture::new().await;
    let url = fixture.settings.postgres.database_url.expose();
    let url = format!("{url}?options=-c%20search_path%3Dshop%20--work-mem%3D5MB");
    for (setting, wanted) in [
        ("search_path", "shop"),
        ("work_mem", "5MB"),
        ("synchronous_commit", "on"),
        ("timezone", "UTC"),
        ("application_name", "db-test"),
    ] {
        assert_eq!(shown(&url, setting).await.unwrap(), wanted, "{setting}");
    }
}
