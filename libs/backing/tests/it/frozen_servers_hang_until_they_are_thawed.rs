use std::time::Duration;

use crate::records;

#[tokio::test]
async fn a_frozen_postgresql_hangs_until_it_is_thawed() {
    let postgres = backing::own_postgres().await.unwrap();
    let client = postgres.connect("postgres").await.unwrap();
    postgres.freeze().await.unwrap();
    let query = client.simple_query("SELECT 1");
    tokio::pin!(query);
    let early = tokio::time::timeout(Duration::from_secs(1), &mut query).await;
    assert!(early.is_err(), "a frozen server does not answer");

    postgres.thaw().await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), query)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_frozen_kafka_hangs_until_it_is_thawed() {
    let kafka = backing::own_kafka().await.unwrap();
    kafka.create_topics(&["t"], 1).await.unwrap();
    kafka.freeze().await.unwrap();
    let bootstrap = kafka.bootstrap();
    let mut write = tokio::spawn(async move { records::write(&bootstrap, "t", "hello").await });
    let early = tokio::time::timeout(Duration::from_secs(1), &mut write).await;
    assert!(early.is_err(), "a frozen broker does not answer");

    kafka.thaw().await.unwrap();
    write.await.unwrap();
    assert_eq!(records::read_first(&kafka.bootstrap(), "t").await, "hello");
}
