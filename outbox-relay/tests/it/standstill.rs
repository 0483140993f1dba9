//! Brokers that answer and take no event are an outage. The brokers are librdkafka's mock, because
//! a real broker with one replica cannot answer NOT_ENOUGH_REPLICAS.

use outbox_relay::Running;
use rdkafka::{
    mocking::MockCluster,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::store::{Store, until};

/// More refusals than the client can get in the time of this test.
const REFUSALS: usize = 5_000;

#[tokio::test(flavor = "multi_thread")]
async fn too_few_replicas_in_sync_are_shown_as_an_outage_until_there_are_enough() {
    let mut store = Store::new().await;
    let brokers = MockCluster::new(1).unwrap();
    brokers.create_topic(&store.topic_name(), 2, 1).unwrap();
    store.brokers = brokers.bootstrap_servers();
    let mut relay = store.relay().await;
    let first = store.publish("key", "before").await;
    store.topic().until_has([first]).await;
    assert_eq!(outage(&relay).await, "0");

    let refusals = vec![RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS; REFUSALS];
    brokers.request_errors(RDKafkaApiKey::Produce, &refusals);
    let second = store.publish("key", "while too few are in sync").await;
    until("the outage", async || outage(&relay).await == "1").await;
    assert_eq!(store.unacknowledged().await, 1);

    brokers.clear_request_errors(RDKafkaApiKey::Produce);
    store.topic().until_has([second]).await;
    until("the end of the outage", async || {
        outage(&relay).await == "0"
    })
    .await;
    relay.stop().await.unwrap();
    assert_eq!(store.unacknowledged().await, 0);
}

/// The relay's metric `tovar_relay_outage`, from its operations port.
async fn outage(relay: &Running) -> String {
    let mut connection = TcpStream::connect(relay.ops_address).await.unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n\r\n";
    connection.write_all(request).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    let outage = answer
        .lines()
        .find(|line| line.starts_with("tovar_relay_outage"));
    let value = outage.and_then(|line| line.rsplit(' ').next());
    value.expect("the metric is there").to_owned()
}
