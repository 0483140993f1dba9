//! Makes the store's topics and ends: for a deployment whose Kafka nobody has prepared.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use connect::KafkaSettings;
use contracts::catalogue::TOPICS;
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    error::RDKafkaErrorCode,
};
use telemetry::LogSettings;
use tokio::time::Instant;

/// Makes the topics of the store that are not there yet, and ends. What is there is left as it is.
#[derive(Clone, Debug, Parser)]
#[command(name = "topics", version)]
pub struct TopicsSettings {
    /// Partitions of a new topic: at most so many replicas of a service share its work
    #[arg(long, env = "TOPIC_PARTITIONS", default_value_t = 12, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    pub partitions: i32,

    /// Brokers that keep a copy of a new topic
    #[arg(long, env = "TOPIC_REPLICATION", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=100))]
    pub replication: i32,

    /// A setting of a new topic, such as min.insync.replicas=2; may be given more than once
    #[arg(long = "setting", env = "TOPIC_SETTINGS", value_name = "NAME=VALUE", value_delimiter = ',', value_parser = setting)]
    pub settings: Vec<(String, String)>,

    /// Seconds for which a Kafka that does not answer is waited for
    #[arg(long, env = "TOPIC_PATIENCE", default_value_t = 300)]
    pub patience: u64,

    #[command(flatten)]
    pub kafka: KafkaSettings,
    #[command(flatten)]
    pub log: LogSettings,
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not of the form name=value")),
    }
}

const PAUSE: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(10);

/// Makes what is missing, as soon as Kafka answers.
pub async fn make(settings: &TopicsSettings) -> anyhow::Result<()> {
    settings.kafka.check()?;
    let admin: AdminClient<DefaultClientContext> = settings.kafka.client_config("tovar-topics").create()?;
    let deadline = Instant::now() + Duration::from_secs(settings.patience);
    loop {
        match attempt(&admin, settings).await {
            Ok(()) => return Ok(()),
            Err(Refused::Now(error)) if Instant::now() < deadline => {
                tracing::warn!(error = format!("{error:#}"), "waiting for Kafka");
                tokio::time::sleep(PAUSE).await;
            }
            Err(Refused::Now(error) | Refused::ForGood(error)) => return Err(error),
        }
    }
}

enum Refused {
    /// It may work later.
    Now(anyhow::Error),
    ForGood(anyhow::Error),
}

async fn attempt(
    admin: &AdminClient<DefaultClientContext>,
    settings: &TopicsSettings,
) -> Result<(), Refused> {
    let names = TOPICS.map(|topic| settings.kafka.topic(topic));
    let wanted = names.iter().map(|name| {
        let topic = NewTopic::new(
            name,
            settings.partitions,
            TopicReplication::Fixed(settings.replication),
        );
        let own = settings.settings.iter();
        own.fold(topic, |topic, (key, value)| topic.set(key, value))
    });
    let wanted: Vec<NewTopic<'_>> = wanted.collect();
    let options = AdminOptions::new()
        .request_timeout(Some(ANSWER))
        .operation_timeout(Some(ANSWER));
    let made = admin.create_topics(&wanted, &options).await;
    let made = made.context("Kafka does not answer").map_err(Refused::Now)?;
    for outcome in made {
        match outcome {
            Ok(name) => tracing::info!(name, "made"),
            Err((name, RDKafkaErrorCode::TopicAlreadyExists)) => tracing::info!(name, "is there"),
            Err((name, code)) => return Err(refusal(&name, code)),
        }
    }
    for name in &names {
        compare(admin, name, settings.partitions)
            .with_context(|| format!("topic {name}"))
            .map_err(Refused::Now)?;
    }
    Ok(())
}

fn refusal(name: &str, code: RDKafkaErrorCode) -> Refused {
    let error = anyhow::anyhow!("topic {name} cannot be made: {code}");
    match code {
        RDKafkaErrorCode::InvalidPartitions
        | RDKafkaErrorCode::InvalidConfig
        | RDKafkaErrorCode::PolicyViolation
        | RDKafkaErrorCode::TopicAuthorizationFailed
        | RDKafkaErrorCode::ClusterAuthorizationFailed => Refused::ForGood(error),
        // Too few brokers for the replication may only be too few so far.
        _ => Refused::Now(error),
    }
}

/// A key's events are in order as long as its partition stays: a topic with another number of them is kept, and said.
fn compare(admin: &AdminClient<DefaultClientContext>, name: &str, partitions: i32) -> anyhow::Result<()> {
    let metadata = admin.inner().fetch_metadata(Some(name), ANSWER)?;
    let topic = metadata.topics().first().context("is not known")?;
    let found = topic.partitions();
    if found.is_empty() || found.iter().any(|partition| partition.leader() < 0) {
        bail!("has a partition without a leader");
    }
    if i32::try_from(found.len())? != partitions {
        tracing::warn!(
            name,
            found = found.len(),
            wanted = partitions,
            "kept with another number of partitions"
        );
    }
    Ok(())
}
