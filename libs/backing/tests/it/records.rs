use std::time::{Duration, Instant};

use rdkafka::{
    ClientConfig, Message,
    consumer::{BaseConsumer, Consumer},
    producer::{FutureProducer, FutureRecord},
};

pub async fn write(bootstrap: &str, topic: &str, payload: &str) {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("acks", "all")
        .create()
        .unwrap();
    let record = FutureRecord::<(), _>::to(topic).payload(payload);
    producer
        .send(record, Duration::from_secs(20))
        .await
        .unwrap();
}

pub async fn read_first(bootstrap: &str, topic: &str) -> String {
    let (bootstrap, topic) = (bootstrap.to_owned(), topic.to_owned());
    let read = move || {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("group.id", "reader")
            .set("auto.offset.reset", "earliest")
            .create()
            .unwrap();
        consumer.subscribe(&[&topic]).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            assert!(Instant::now() < deadline, "nothing to read");
            if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                return String::from_utf8(message.payload().unwrap().to_vec()).unwrap();
            }
        }
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}
