use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::future::try_join_all;
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
};
use tokio::time::Instant;

use super::{broker::Kafka, local::Member, options::KafkaOptions, topics};
use crate::data_folder::free_port;

/// A cluster of several brokers, so that a test can kill one of them. They are local processes,
/// also where there is a Docker engine.
#[derive(Debug)]
pub struct KafkaCluster {
    pub brokers: Vec<Kafka>,
}

/// Bounds the time in which all brokers find each other after a start.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(180);

impl KafkaCluster {
    pub async fn start(brokers: usize, options: &KafkaOptions) -> anyhow::Result<Self> {
        let controllers = (0..brokers)
            .map(|_| free_port())
            .collect::<anyhow::Result<Vec<u16>>>()?;
        let members = (1..=brokers).map(async |id| {
            let controllers = controllers.clone();
            Kafka::start_local(options.clone(), &Member { id, controllers }, &|_| {}).await
        });
        let brokers = try_join_all(members)
            .await
            .context("Kafka cannot be started")?;
        let mut cluster = Self { brokers };
        for broker in &mut cluster.brokers {
            broker.until_ready().await?;
        }
        cluster.until_all_are_there().await?;
        Ok(cluster)
    }

    /// The addresses of all brokers.
    pub fn bootstrap(&self) -> String {
        self.brokers
            .iter()
            .map(Kafka::bootstrap)
            .collect::<Vec<_>>()
            .join(",")
    }

    /// Creates a topic with a replica on each broker, and with settings such as
    /// `min.insync.replicas`.
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        let replicas = i32::try_from(self.brokers.len())?;
        topics::create(&self.bootstrap(), &[name], partitions, replicas, settings).await
    }

    /// Waits until every broker knows all brokers.
    pub async fn until_all_are_there(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + DISCOVERY_TIMEOUT;
        for broker in &self.brokers {
            let bootstrap = broker.bootstrap();
            while known_brokers(bootstrap.clone()).await.unwrap_or_default() < self.brokers.len() {
                if Instant::now() > deadline {
                    bail!(
                        "the brokers did not find each other within {} s",
                        DISCOVERY_TIMEOUT.as_secs()
                    );
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }
}

/// How many brokers the one at this address knows.
async fn known_brokers(bootstrap: String) -> anyhow::Result<usize> {
    let ask = move || {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("log_level", "0")
            .create()?;
        let metadata = consumer.fetch_metadata(None, Duration::from_secs(2))?;
        Ok(metadata.brokers().len())
    };
    tokio::task::spawn_blocking(ask).await?
}
