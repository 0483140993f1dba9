use rdkafka::{
    ClientConfig,
    producer::{FutureProducer, FutureRecord},
};

use crate::fixture::{Fixture, Noted, event_headers, payload, wait_for};
use kernel::{Event, EventId};

/// Other producers may compress with any codec. Each batch has many messages, so that it is really
/// compressed.
#[tokio::test(flavor = "multi_thread")]
async fn that_another_producer_may_use() {
    let fixture = Fixture::new(1).await;
    let running = fixture.consume().await;
    for (n, codec) in (0..).zip(["none", "gzip", "snappy", "lz4", "zstd"]) {
        let producer: FutureProducer = ClientConfig::new()
            .set("bootstrap.servers", &fixture.kafka.kafka_brokers)
            .set("acks", "all")
            .set("compression.type", codec)
            .set("linger.ms", "200")
            .create()
            .unwrap();
        let (topic, text) = (fixture.topic(), payload(codec, n));
        let send = || {
            let record = FutureRecord::to(&topic)
                .partition(0)
                .key(codec)
                .payload(&text)
                .headers(event_headers(EventId::now_v7(), Noted::TYPE));
            producer.send(record, std::time::Duration::from_secs(60))
        };
        for sent in futures_util::future::join_all((0..20).map(|_| send())).await {
            sent.unwrap();
        }
        wait_for(codec, async || {
            fixture.effects_of(codec).await == vec![n; 20]
        })
        .await;
    }
    running.stop().await;
}
