//! Makes the store's topics in Kafka and ends, for a deployment where no operator makes them.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use connect::KafkaSettings;
use contracts::catalogue::TOPICS;
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    client::DefaultClientContext,
    error::RDKafkaErrorCode,
};
use telemetry::LogSettings;
use tokio::time::Instant;

/// Makes the topics of the store that are missing, and ends. Existing topics stay as they are.
#[derive(Clone, Debug, Parser)]
#[command(name = "topics", version)]
pub struct TopicsSettings {
    /// Partitions of a new topic; so many replicas of a service at most share its events
    #[arg(
        long,
        env = "TOPIC_PARTITIONS",
        default_value_t = 12,
        value_parser = clap::value_parser!(i32).range(1..=10_000)
    )]
    pub partitions: i32,

    /// Brokers that keep a copy of a new topic
    #[arg(
        long,
        env = "TOPIC_REPLICATION",
        default_value_t = 1,
        value_parser = clap::value_parser!(i32).range(1..=100)
    )]
    pub replication: i32,

    /// A setting of a new topic, such as retention.ms=604800000; may be given more than once. With
    /// three copies or more min.insync.replicas is 2 if it is not given
    #[arg(
        long = "setting",
        env = "TOPIC_SETTINGS",
        value_name = "NAME=VALUE",
        value_delimiter = ',',
        value_parser = setting
    )]
    pub settings: Vec<(String, String)>,

    /// Seconds to wait for a Kafka that does not answer
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

/// The setting of a topic: how many copies an event must have before Kafka acknowledges it.
const MIN_INSYNC: &str = "min.insync.replicas";
/// Copies of a topic that are enough to keep each event on two brokers while one is away.
const SAFE_FROM: usize = 3;

impl TopicsSettings {
    /// The settings of new topics. With one copy in sync, an acknowledged event could be lost with
    /// a single disk, however many brokers there are.
    fn of_new_topics(&self) -> Vec<(&str, &str)> {
        let given = self
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let mut all: Vec<_> = given.collect();
        let is_given = all.iter().any(|(name, _)| *name == MIN_INSYNC);
        if !is_given && usize::try_from(self.replication).is_ok_and(|copies| copies >= SAFE_FROM) {
            all.push((MIN_INSYNC, "2"));
        }
        all
    }
}

/// Delay between two attempts to reach Kafka.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// How long Kafka may take for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes the missing topics, as soon as Kafka answers.
pub async fn make(settings: &TopicsSettings) -> anyhow::Result<()> {
    settings.kafka.check()?;
    let admin: AdminClient<DefaultClientContext> =
        settings.kafka.client_config("tovar-topics").create()?;
    let deadline = Instant::now() + Duration::from_secs(settings.patience);
    loop {
        match attempt(&admin, settings).await {
            Ok(()) => return Ok(()),
            Err(Refused::ForNow(error)) if Instant::now() < deadline => {
                tracing::warn!(error = format!("{error:#}"), "waiting for Kafka");
                tokio::time::sleep(RETRY_DELAY).await;
            }
            Err(Refused::ForNow(error) | Refused::Permanently(error)) => return Err(error),
        }
    }
}

enum Refused {
    /// A later attempt may succeed.
    ForNow(anyhow::Error),
    Permanently(anyhow::Error),
}

async fn attempt(
    admin: &AdminClient<DefaultClientContext>,
    settings: &TopicsSettings,
) -> Result<(), Refused> {
    let names = TOPICS.map(|topic| settings.kafka.topic(topic));
    let of_new_topics = settings.of_new_topics();
    let wanted = names.iter().map(|name| {
        let topic = NewTopic::new(
            name,
            settings.partitions,
            TopicReplication::Fixed(settings.replication),
        );
        let own = of_new_topics.iter();
        own.fold(topic, |topic, (key, value)| topic.set(key, value))
    });
    let wanted: Vec<NewTopic<'_>> = wanted.collect();
    let options = AdminOptions::new()
        .request_timeout(Some(ANSWER_TIMEOUT))
        .operation_timeout(Some(ANSWER_TIMEOUT));
    let made = admin.create_topics(&wanted, &options).await;
    let made = made
        .context("Kafka does not answer")
        .map_err(Refused::ForNow)?;
    for outcome in made {
        match outcome {
            Ok(name) => tracing::info!(name, "made"),
            Err((name, RDKafkaErrorCode::TopicAlreadyExists)) => tracing::info!(name, "is there"),
            Err((name, code)) => return Err(refusal(&name, code)),
        }
    }
    for name in &names {
        let copies = compare(admin, name, settings.partitions)
            .with_context(|| format!("topic {name}"))
            .map_err(Refused::ForNow)?;
        let found = min_insync(admin, name).await;
        if let Some(risk) = risk(copies, found.as_ref().ok().copied()) {
            let found = found.map_or_else(|error| format!("{error:#}"), |found| found.to_string());
            tracing::warn!(name, copies, min_insync_replicas = found, "{risk}");
        }
    }
    Ok(())
}

/// A topic's `min.insync.replicas`, or the broker's default if the topic does not set it.
pub async fn min_insync(
    admin: &AdminClient<DefaultClientContext>,
    name: &str,
) -> anyhow::Result<usize> {
    let options = AdminOptions::new().request_timeout(Some(ANSWER_TIMEOUT));
    let asked = admin
        .describe_configs(&[ResourceSpecifier::Topic(name)], &options)
        .await?;
    let topic = asked.into_iter().next().context("no answer")?;
    let topic = topic.map_err(|code| anyhow::anyhow!("cannot be read: {code}"))?;
    let value = topic
        .get(MIN_INSYNC)
        .and_then(|entry| entry.value.as_deref());
    Ok(value.context("is not told")?.parse()?)
}

/// A warning about a topic with so many copies. `found` is its `min.insync.replicas`; `None` if
/// that cannot be read.
fn risk(copies: usize, found: Option<usize>) -> Option<&'static str> {
    match found {
        None if copies >= SAFE_FROM => Some(
            "min.insync.replicas cannot be read; see to it that it is 2, or an acknowledged event \
             may be lost with one broker",
        ),
        Some(..2) if copies >= SAFE_FROM => Some(
            "an acknowledged event may be lost with one broker: set the topic's \
             min.insync.replicas to 2, with kafka-configs --alter or in its KafkaTopic",
        ),
        Some(found) if copies > 1 && found >= copies => Some(
            "nothing can be sent while one broker is away: set the topic's min.insync.replicas to \
             one less than it has copies",
        ),
        _ => None,
    }
}

fn refusal(name: &str, code: RDKafkaErrorCode) -> Refused {
    let error = anyhow::anyhow!("topic {name} cannot be made: {code}");
    match code {
        RDKafkaErrorCode::InvalidPartitions
        | RDKafkaErrorCode::InvalidConfig
        | RDKafkaErrorCode::PolicyViolation
        | RDKafkaErrorCode::TopicAuthorizationFailed
        | RDKafkaErrorCode::ClusterAuthorizationFailed => Refused::Permanently(error),
        // Brokers that are too few for the replication may still start.
        _ => Refused::ForNow(error),
    }
}

/// Compares a topic with the settings, and returns the number of copies of its partition with the
/// fewest. A topic with another number of partitions is kept, with a warning: repartitioning would
/// break the order of a key's events.
fn compare(
    admin: &AdminClient<DefaultClientContext>,
    name: &str,
    partitions: i32,
) -> anyhow::Result<usize> {
    let metadata = admin.inner().fetch_metadata(Some(name), ANSWER_TIMEOUT)?;
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
    let copies = found.iter().map(|partition| partition.replicas().len());
    Ok(copies.min().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(arguments: &[&str]) -> TopicsSettings {
        TopicsSettings::parse_from(std::iter::once(&"topics").chain(arguments))
    }

    #[test]
    fn three_copies_or_more_are_made_with_two_in_sync() {
        for (arguments, wanted) in [
            (&["--replication", "1"] as &[_], None),
            (&["--replication", "2"], None),
            (&["--replication", "3"], Some("2")),
            (&["--replication", "5"], Some("2")),
            (
                &["--replication", "3", "--setting", "min.insync.replicas=3"],
                Some("3"),
            ),
            (
                &["--replication", "1", "--setting", "min.insync.replicas=1"],
                Some("1"),
            ),
        ] {
            let settings = settings(arguments);
            let all = settings.of_new_topics();
            let found: Vec<_> = all.iter().filter(|(name, _)| *name == MIN_INSYNC).collect();
            assert_eq!(found.len(), usize::from(wanted.is_some()), "{arguments:?}");
            assert_eq!(
                found.first().map(|(_, value)| *value),
                wanted,
                "{arguments:?}"
            );
        }
    }

    #[test]
    fn a_topic_that_may_lose_an_event_or_stand_still_is_warned_of() {
        for (copies, found, words) in [
            (3, Some(1), Some("may be lost")),
            (5, Some(1), Some("may be lost")),
            (3, None, Some("cannot be read")),
            (3, Some(2), None),
            (5, Some(3), None),
            (3, Some(3), Some("nothing can be sent")),
            (2, Some(2), Some("nothing can be sent")),
            (2, Some(1), None),
            (1, Some(1), None),
            (1, None, None),
        ] {
            let risk = risk(copies, found);
            assert_eq!(
                risk.is_some(),
                words.is_some(),
                "{copies} copies, {found:?}"
            );
            assert!(risk.unwrap_or_default().contains(words.unwrap_or_default()));
        }
    }
}
