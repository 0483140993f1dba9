mod cluster;
mod local;
mod topics;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, bail};
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
};
use testcontainers::ImageExt;

use crate::{
    Means, Progress,
    docker::{self, Contained, Data},
    server::Server,
};

pub use cluster::KafkaCluster;

#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// Where data is kept between runs; without it they end with the broker.
    pub data: Option<PathBuf>,
    /// Image for containers; `TOVAR_KAFKA_IMAGE` goes before it.
    pub image: String,
    /// Megabytes of the Java heap.
    pub heap: u32,
    /// Port of 127.0.0.1 of a proxy, at which clients that come through it are told to find the
    /// broker. Local processes only.
    pub proxy: Option<u16>,
}

/// The image that is pulled where nothing else is said.
const IMAGE: &str =
    "apache/kafka:4.1.0@sha256:bff074a5d0051dbc0bbbcd25b045bb1fe84833ec0d3c7c965d1797dd289ec88f";

impl Default for KafkaOptions {
    fn default() -> Self {
        let image = std::env::var("TOVAR_KAFKA_IMAGE").unwrap_or_else(|_| IMAGE.to_owned());
        Self {
            data: None,
            image,
            heap: 512,
            proxy: None,
        }
    }
}

/// A running Kafka: one broker that is its own controller.
#[derive(Debug)]
pub struct Kafka {
    server: Server,
    ports: local::Ports,
    description: String,
}

const LOG_DIRS: &str = "/var/lib/kafka/data";

/// What a broker in a container needs to be told beyond that it is alone.
const IN_A_CONTAINER: &[(&str, &str)] = &[
    ("node.id", "1"),
    ("process.roles", "broker,controller"),
    (
        "listeners",
        "INTERNAL://:29092,EXTERNAL://:9092,CONTROLLER://:9093",
    ),
    (
        "listener.security.protocol.map",
        "INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
    ),
    ("inter.broker.listener.name", "INTERNAL"),
    ("controller.listener.names", "CONTROLLER"),
    ("controller.quorum.voters", "1@localhost:9093"),
    ("log.dirs", LOG_DIRS),
];

const CLUSTER_ID: &str = "TovarTovarTovarTovarTw";

impl Kafka {
    pub async fn start(
        means: Means,
        options: KafkaOptions,
        progress: Progress<'_>,
    ) -> anyhow::Result<Self> {
        let kafka = match means {
            Means::Local => Self::start_local(options, &local::Member::alone()?, progress).await,
            Means::Docker => Self::start_docker(options, progress).await,
        };
        let mut kafka = kafka.context("Kafka cannot be started")?;
        kafka.until_ready().await?;
        progress(&kafka.description);
        Ok(kafka)
    }

    async fn start_local(
        options: KafkaOptions,
        member: &local::Member,
        progress: Progress<'_>,
    ) -> anyhow::Result<Self> {
        let (launch, ports, version) = local::prepare(&options, member, progress).await?;
        let server = Server::local(launch)?;
        let description = format!("Kafka {version} on 127.0.0.1:{}", ports.direct);
        Ok(Self {
            server,
            ports,
            description,
        })
    }

    async fn start_docker(options: KafkaOptions, progress: Progress<'_>) -> anyhow::Result<Self> {
        progress(&format!(
            "starting {} (a first start pulls the image)",
            options.image
        ));
        let data = Data {
            inside: LOG_DIRS,
            of: options.data.as_deref(),
        };
        let request = |port| {
            let request = docker::image(&options.image)
                .with_env_var("CLUSTER_ID", CLUSTER_ID)
                .with_env_var(
                    "KAFKA_HEAP_OPTS",
                    format!("-Xmx{0}m -Xms{0}m", options.heap),
                );
            let advertised = format!("INTERNAL://localhost:29092,EXTERNAL://127.0.0.1:{port}");
            let settings = IN_A_CONTAINER.iter().chain(local::SINGLE_BROKER).copied();
            settings
                .chain([("advertised.listeners", advertised.as_str())])
                .fold(request, |request, (name, value)| {
                    request.with_env_var(
                        format!("KAFKA_{}", name.to_uppercase().replace('.', "_")),
                        value,
                    )
                })
        };
        let (container, port) = Contained::start(9092, data, request).await?;
        let description = format!("Kafka on 127.0.0.1:{port} (container of {})", options.image);
        Ok(Self {
            server: Server::Docker(container),
            ports: local::Ports {
                direct: port,
                behind_proxy: None,
            },
            description,
        })
    }

    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let bootstrap = self.bootstrap();
        let ask = async || {
            let bootstrap = bootstrap.clone();
            tokio::task::spawn_blocking(move || answers(&bootstrap)).await?
        };
        self.server.until_ready("Kafka", ask).await
    }

    /// What runs where.
    pub fn describe(&self) -> &str {
        &self.description
    }

    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.ports.direct)
    }

    /// Where a proxy of [`KafkaOptions::proxy`] hands on what comes to it.
    pub fn behind_proxy(&self) -> Option<String> {
        self.ports
            .behind_proxy
            .map(|port| format!("127.0.0.1:{port}"))
    }

    /// Makes topics and waits until they can be used; existing ones must have as many partitions.
    pub async fn create_topics(&self, names: &[&str], partitions: i32) -> anyhow::Result<()> {
        topics::create(&self.bootstrap(), names, partitions, 1, &[]).await
    }

    /// Makes one topic with settings of its own, such as `max.message.bytes`.
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        topics::create(&self.bootstrap(), &[name], partitions, 1, settings).await
    }

    /// Ends the broker as a power cut would.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.server.kill().await
    }

    /// Whether it has ended, by itself or because it was killed.
    pub async fn has_ended(&mut self) -> anyhow::Result<bool> {
        self.server.has_ended().await
    }

    /// Starts it again after it was stopped, on the same port with the same data.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        self.server.start_again().await?;
        self.until_ready().await
    }

    /// Lets it hang, as a machine that swaps or a virtual one that is moved.
    pub async fn freeze(&self) -> anyhow::Result<()> {
        self.server.freeze().await
    }

    /// Lets it go on.
    pub async fn thaw(&self) -> anyhow::Result<()> {
        self.server.thaw().await
    }

    /// Ends the broker in good order.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.server.stop().await
    }
}

fn answers(bootstrap: &str) -> anyhow::Result<()> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("log_level", "0")
        .create()?;
    let metadata = consumer.fetch_metadata(None, Duration::from_secs(2))?;
    if metadata.brokers().is_empty() {
        bail!("no broker is registered yet");
    }
    Ok(())
}
