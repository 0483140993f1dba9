use backing::{Means, Postgres, PostgresOptions};

#[tokio::test]
async fn postgresql_says_why_it_did_not_start() {
    let options = PostgresOptions {
        settings: vec![("no_such_setting", "1")],
        ..PostgresOptions::default()
    };
    let error = Postgres::start(Means::detect().await.unwrap(), options, &|_| {})
        .await
        .unwrap_err();
    let said = format!("{error:#}");
    assert!(
        said.contains("PostgreSQL ended") && said.contains("no_such_setting"),
        "{said}"
    );
}
