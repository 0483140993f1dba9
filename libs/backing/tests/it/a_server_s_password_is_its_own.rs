use backing::PostgresOptions;
use tokio_postgres::{Config, NoTls, error::SqlState};

/// A superuser of PostgreSQL can run programs as the user that started the server. So another user
/// of the machine must not guess the password.
#[tokio::test]
async fn a_superuser_s_password_is_random() {
    let first = PostgresOptions::default().password;
    assert_ne!(first, PostgresOptions::default().password);
    assert!(first.len() >= 24, "{}", first.len());

    let postgres = backing::own_postgres().await.unwrap();
    let known: Config = postgres.url("postgres").parse().unwrap();
    assert!(known.connect(NoTls).await.is_ok());
    for guess in ["postgres", "", "password"] {
        let mut config = known.clone();
        config.password(guess);
        let error = config.connect(NoTls).await.map(drop).unwrap_err();
        let refused = error.code() == Some(&SqlState::INVALID_PASSWORD) || guess.is_empty();
        assert!(refused, "{guess}: {error}");
    }
}

#[tokio::test]
async fn the_servers_do_not_run_as_root() {
    use std::os::unix::fs::MetadataExt;

    use backing::{Kafka, KafkaOptions, Postgres, ServerKind};

    if ServerKind::detect().await.unwrap() == ServerKind::Docker
        || !nix::unistd::geteuid().is_root()
    {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    std::fs::set_permissions(
        home.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o711),
    )
    .unwrap();
    let (postgres, kafka) = (home.path().join("postgres"), home.path().join("kafka"));
    let options = PostgresOptions {
        data: Some(postgres.clone()),
        ..PostgresOptions::default()
    };
    let _postgres = Postgres::start(ServerKind::Local, options, &|_| {})
        .await
        .unwrap();
    let options = KafkaOptions {
        data: Some(kafka.clone()),
        heap: 256,
        ..KafkaOptions::default()
    };
    let _kafka = Kafka::start(ServerKind::Local, options, &|_| {})
        .await
        .unwrap();
    for made in [
        postgres.join("cluster/base"),
        kafka.join("log/meta.properties"),
    ] {
        assert_ne!(
            std::fs::metadata(&made).unwrap().uid(),
            0,
            "{}",
            made.display()
        );
    }
}
