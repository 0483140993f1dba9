use std::time::Duration;

use anyhow::{Context, bail};
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
};
use testcontainers::ImageExt;

use super::{
    local,
    options::{CLUSTER_ID, KafkaOptions},
    topics,
};
use crate::{
    Progress, ServerKind,
    docker::{self, Contained, Data},
    server::Server,
};

/// A running Kafka: one broker that is its own controller.
#[derive(Debug)]
pub struct Kafka {
    server: Server,
    ports: local::Ports,
    description: String,
}

const LOG_DIRS: &str = "/var/lib/kafka/data";

/// Settings for a broker in a container, beside those for a single broker.
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

impl Kafka {
    pub async fn start(
        kind: ServerKind,
        options: KafkaOptions,
        progress: Progress<'_>,
    ) -> anyhow::Result<Self> {
        let kafka = match kind {
            ServerKind::Local => {
                Self::start_local(options, &local::Member::alone()?, progress).await
            }
            ServerKind::Docker => Self::start_docker(options, progress).await,
        };
        let mut kafka = kafka.context("Kafka cannot be started")?;
        kafka.until_ready().await?;
        progress(&kafka.description);
        Ok(kafka)
    }

    pub async fn start_local(
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

    pub async fn until_ready(&mut self) -> anyhow::Result<()> {
        let bootstrap = self.bootstrap();
        let ask = async || {
            let bootstrap = bootstrap.clone();
            tokio::task::spawn_blocking(move || answers(&bootstrap)).await?
        };
        self.server.until_ready("Kafka", ask).await
    }

    /// The server, its version and its address, for people.
    pub fn describe(&self) -> &str {
        &self.description
    }

    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.ports.direct)
    }

    /// The address to which the proxy of [`KafkaOptions::proxy`] connects.
    pub fn behind_proxy(&self) -> Option<String> {
        self.ports
            .behind_proxy
            .map(|port| format!("127.0.0.1:{port}"))
    }

    /// Creates topics and waits until they can be used. An existing topic must have as many
    /// partitions.
    pub async fn create_topics(&self, names: &[&str], partitions: i32) -> anyhow::Result<()> {
        topics::create(&self.bootstrap(), names, partitions, 1, &[]).await
    }

    /// Creates a topic with settings such as `max.message.bytes`.
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        topics::create(&self.bootstrap(), &[name], partitions, 1, settings).await
    }

    /// Kills the broker, as a power cut would.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.server.kill().await
    }

    /// Whether the broker has ended, by itself or because it was killed.
    pub async fn has_ended(&mut self) -> anyhow::Result<bool> {
        self.server.has_ended().await
    }

    /// Starts it again after it was stopped, on the same port with the same data.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        self.server.start_again().await?;
        self.until_ready().await
    }

    /// Stops all its processes (SIGSTOP), as when a machine swaps or a virtual machine is moved.
    pub async fn freeze(&self) -> anyhow::Result<()> {
        self.server.freeze().await
    }

    /// Lets its processes continue.
    pub async fn thaw(&self) -> anyhow::Result<()> {
        self.server.thaw().await
    }

    /// Stops the broker in good order.
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
