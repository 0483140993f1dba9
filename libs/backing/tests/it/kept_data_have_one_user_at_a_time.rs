use backing::{Kafka, KafkaOptions, Postgres, PostgresOptions, ServerKind, forget_data};

use crate::records;

fn no_progress(_: &str) {}

#[tokio::test]
async fn kept_postgresql_has_one_user_at_a_time() {
    let kind = ServerKind::detect().await.unwrap();
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("postgres");
    let start = || {
        let options = PostgresOptions {
            data: Some(data.clone()),
            password: "kept with the data".to_owned(),
            ..PostgresOptions::default()
        };
        Postgres::start(kind, options, &no_progress)
    };
    let first = start().await.unwrap();
    let port = first.port();
    let client = first.connect("postgres").await.unwrap();
    client
        .batch_execute("CREATE TABLE kept AS SELECT 42 AS answer")
        .await
        .unwrap();

    let second = format!("{:#}", start().await.unwrap_err());
    assert!(
        second.contains("runs in") && second.contains("stop it first"),
        "{second}"
    );
    client
        .simple_query("SELECT 1")
        .await
        .expect("the first one goes on");
    drop(client);
    first.stop().await.unwrap();

    let next = start().await.unwrap();
    assert_eq!(next.port(), port, "its address stays");
    let client = next.connect("postgres").await.unwrap();
    let answer: i32 = client
        .query_one("SELECT answer FROM kept", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(answer, 42);
    drop(client);
    next.stop().await.unwrap();

    forget(&data).await;
    let fresh = start().await.unwrap();
    let client = fresh.connect("postgres").await.unwrap();
    client
        .query_one("SELECT answer FROM kept", &[])
        .await
        .expect_err("all is forgotten");
    drop(client);
    fresh.stop().await.unwrap();
    forget(&data).await;
}

#[tokio::test]
async fn kept_kafka_has_one_user_at_a_time() {
    let kind = ServerKind::detect().await.unwrap();
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("kafka");
    let start = || {
        let options = KafkaOptions {
            data: Some(data.clone()),
            heap: 256,
            ..KafkaOptions::default()
        };
        Kafka::start(kind, options, &no_progress)
    };
    let first = start().await.unwrap();
    let bootstrap = first.bootstrap();
    first.create_topics(&["kept"], 1).await.unwrap();
    records::write(&bootstrap, "kept", "hello").await;

    let second = format!("{:#}", start().await.unwrap_err());
    assert!(
        second.contains("runs in") && second.contains("stop it first"),
        "{second}"
    );
    first.stop().await.unwrap();

    let next = start().await.unwrap();
    assert_eq!(next.bootstrap(), bootstrap, "its address stays");
    assert_eq!(records::read_first(&bootstrap, "kept").await, "hello");
    next.stop().await.unwrap();
    forget(&data).await;
}

async fn forget(data: &std::path::Path) {
    let data = data.to_owned();
    tokio::task::spawn_blocking(move || forget_data(&data))
        .await
        .unwrap()
        .unwrap();
}
