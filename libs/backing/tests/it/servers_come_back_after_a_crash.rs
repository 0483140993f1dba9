use crate::records;

#[tokio::test]
async fn postgresql_comes_back_with_what_was_committed() {
    let mut postgres = backing::own_postgres().await.unwrap();
    let port = postgres.port();
    let before = postgres.connect("postgres").await.unwrap();
    before
        .batch_execute("CREATE TABLE kept AS SELECT 42 AS answer")
        .await
        .unwrap();

    postgres.stop_immediately().await.unwrap();
    assert!(
        before.simple_query("SELECT 1").await.is_err(),
        "the session ended with the server"
    );
    assert!(
        postgres.connect("postgres").await.is_err(),
        "no server listens"
    );

    postgres.start_again().await.unwrap();
    assert_eq!(postgres.port(), port);
    let after = postgres.connect("postgres").await.unwrap();
    let answer: i32 = after
        .query_one("SELECT answer FROM kept", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(answer, 42);
    let text: String = after
        .query_one("SELECT current_setting('server_version')", &[])
        .await
        .unwrap()
        .get(0);
    assert!(!text.is_empty());
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn kafka_comes_back_with_what_was_acknowledged() {
    let mut kafka = backing::own_kafka().await.unwrap();
    kafka.create_topics(&["kept"], 3).await.unwrap();
    kafka.create_topics(&["kept"], 3).await.unwrap();
    let error = kafka
        .create_topics(&["kept"], 4)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("has 3 partitions instead of 4"), "{error}");
    records::write(&kafka.bootstrap(), "kept", "hello").await;

    kafka.kill().await.unwrap();
    kafka.start_again().await.unwrap();
    assert_eq!(
        records::read_first(&kafka.bootstrap(), "kept").await,
        "hello"
    );
    kafka.stop().await.unwrap();
}
