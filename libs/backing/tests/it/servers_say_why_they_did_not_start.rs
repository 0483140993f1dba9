use backing::{Postgres, PostgresOptions, ServerKind};

#[tokio::test]
async fn postgresql_says_why_it_did_not_start() {
    let options = PostgresOptions {
        settings: vec![("no_such_setting", "1")],
        ..PostgresOptions::default()
    };
    let error = Postgres::start(ServerKind::detect().await.unwrap(), options, &|_| {})
        .await
        .unwrap_err();
    let said = format!("{error:#}");
    assert!(
        said.contains("PostgreSQL ended") && said.contains("no_such_setting"),
        "{said}"
    );
}

#[tokio::test]
async fn a_broken_data_folder_is_named_with_what_to_do() {
    // In a container the image checks its folder.
    if ServerKind::detect().await.unwrap() == ServerKind::Docker {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let broken = data.path().join("cluster");
    std::fs::create_dir(&broken).unwrap();
    std::fs::write(broken.join("base"), "").unwrap();
    let options = PostgresOptions {
        data: Some(data.path().to_owned()),
        ..PostgresOptions::default()
    };
    let error = Postgres::start(ServerKind::Local, options, &|_| {})
        .await
        .unwrap_err();
    let said = format!("{error:#}");
    assert!(
        said.contains(&broken.display().to_string()) && said.contains("--fresh"),
        "{said}"
    );
}
