mod local;
mod topics;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, bail};
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
};
use testcontainers::{
    ImageExt,
    core::{IntoContainerPort, Mount},
};

use crate::{
    Means, Progress,
    docker::{self, Contained},
    place::{free_port, name_of, remembered_port},
    tether::{Launch, Tethered},
};

#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// Where data is kept between runs; without it they end with the broker.
    pub data: Option<PathBuf>,
    /// Image for containers; `TOVAR_KAFKA_IMAGE` goes before it.
    pub image: String,
    /// Megabytes of the Java heap.
    pub heap: u32,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        let image = std::env::var("TOVAR_KAFKA_IMAGE").unwrap_or_else(|_| "apache/kafka:4.1.0".to_owned());
        Self {
            data: None,
            image,
            heap: 512,
        }
    }
}

/// A running Kafka: one broker that is its own controller.
#[derive(Debug)]
pub struct Kafka {
    server: Server,
    port: u16,
    description: String,
}

#[derive(Debug)]
enum Server {
    Local {
        launch: Launch,
        process: Option<Tethered>,
    },
    Docker(Contained),
}

const START: Duration = Duration::from_secs(90);
const CLUSTER_ID: &str = "TovarTovarTovarTovarTw";

impl Kafka {
    pub async fn start(means: Means, options: KafkaOptions, progress: Progress<'_>) -> anyhow::Result<Self> {
        let kafka = match means {
            Means::Local => Self::start_local(options, progress).await,
            Means::Docker => Self::start_docker(options, progress).await,
        };
        let mut kafka = kafka.context("Kafka cannot be started")?;
        kafka.until_ready().await?;
        progress(&kafka.description);
        Ok(kafka)
    }

    async fn start_local(options: KafkaOptions, progress: Progress<'_>) -> anyhow::Result<Self> {
        let (launch, port, version) = local::prepare(&options, progress).await?;
        let process = Some(launch.start()?);
        let description = format!("Kafka {version} on 127.0.0.1:{port}");
        Ok(Self {
            server: Server::Local { launch, process },
            port,
            description,
        })
    }

    async fn start_docker(options: KafkaOptions, progress: Progress<'_>) -> anyhow::Result<Self> {
        progress(&format!(
            "starting {} (a first start pulls the image)",
            options.image
        ));
        let port = match &options.data {
            Some(data) => {
                std::fs::create_dir_all(data)?;
                remembered_port(data, "docker-port")?
            }
            None => free_port()?,
        };
        let advertised = format!("INTERNAL://localhost:29092,EXTERNAL://127.0.0.1:{port}");
        let heap = format!("-Xmx{0}m -Xms{0}m", options.heap);
        let mut request = docker::image(&options.image)
            .with_env_var("CLUSTER_ID", CLUSTER_ID)
            .with_env_var("KAFKA_NODE_ID", "1")
            .with_env_var("KAFKA_PROCESS_ROLES", "broker,controller")
            .with_env_var(
                "KAFKA_LISTENERS",
                "INTERNAL://:29092,EXTERNAL://:9092,CONTROLLER://:9093",
            )
            .with_env_var("KAFKA_ADVERTISED_LISTENERS", advertised)
            .with_env_var(
                "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
                "INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
            )
            .with_env_var("KAFKA_INTER_BROKER_LISTENER_NAME", "INTERNAL")
            .with_env_var("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER")
            .with_env_var("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@localhost:9093")
            .with_env_var("KAFKA_LOG_DIRS", "/var/lib/kafka/data")
            .with_env_var("KAFKA_HEAP_OPTS", heap)
            .with_mapped_port(port, 9092.tcp())
            .with_startup_timeout(Duration::from_secs(300));
        for (name, value) in local::SINGLE_BROKER {
            request =
                request.with_env_var(format!("KAFKA_{}", name.to_uppercase().replace('.', "_")), *value);
        }
        if let Some(data) = &options.data {
            let volume = name_of(&data.canonicalize()?);
            request = request.with_mount(Mount::volume_mount(volume, "/var/lib/kafka/data"));
        }
        let container = Contained::start(request).await?;
        let description = format!("Kafka on 127.0.0.1:{port} (container of {})", options.image);
        Ok(Self {
            server: Server::Docker(container),
            port,
            description,
        })
    }

    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + START;
        loop {
            let bootstrap = self.bootstrap();
            let error = match tokio::task::spawn_blocking(move || answers(&bootstrap)).await? {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if let Server::Local { launch, process } = &mut self.server
                && process.as_mut().is_none_or(Tethered::has_ended)
            {
                bail!(
                    "Kafka ended; {}\nIf the data is broken, start anew with --fresh",
                    launch.last_words()
                );
            }
            if tokio::time::Instant::now() > deadline {
                return Err(error)
                    .with_context(|| format!("Kafka did not answer within {} s", START.as_secs()));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What runs where.
    pub fn describe(&self) -> &str {
        &self.description
    }

    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Makes topics and waits until they can be used; existing ones must have as many partitions.
    pub async fn create_topics(&self, names: &[&str], partitions: i32) -> anyhow::Result<()> {
        topics::create(&self.bootstrap(), names, partitions, &[]).await
    }

    /// Makes one topic with settings of its own, such as `max.message.bytes`.
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        topics::create(&self.bootstrap(), &[name], partitions, settings).await
    }

    /// Ends the broker as a power cut would.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        match &mut self.server {
            Server::Local { process, .. } => match process.take() {
                Some(process) => tokio::task::spawn_blocking(move || process.kill()).await?,
                None => Ok(()),
            },
            Server::Docker(container) => container.stop(0).await,
        }
    }

    /// Starts it again after it was stopped, on the same port with the same data.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        match &mut self.server {
            Server::Local { launch, process } => *process = Some(launch.start()?),
            Server::Docker(container) => container.start_again().await?,
        }
        self.until_ready().await
    }

    pub async fn freeze(&self) -> anyhow::Result<()> {
        match &self.server {
            Server::Local { process, .. } => process.iter().for_each(Tethered::freeze),
            Server::Docker(container) => container.freeze().await?,
        }
        Ok(())
    }

    pub async fn thaw(&self) -> anyhow::Result<()> {
        match &self.server {
            Server::Local { process, .. } => process.iter().for_each(Tethered::thaw),
            Server::Docker(container) => container.thaw().await?,
        }
        Ok(())
    }

    /// Ends the broker in good order.
    pub async fn stop(self) -> anyhow::Result<()> {
        match self.server {
            Server::Local {
                process: Some(process),
                ..
            } => tokio::task::spawn_blocking(move || process.stop()).await?,
            Server::Local { process: None, .. } => Ok(()),
            Server::Docker(container) => {
                container.stop(30).await?;
                container.remove().await
            }
        }
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
