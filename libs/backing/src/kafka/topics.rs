use std::time::Duration;

use anyhow::{Context, bail};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    error::RDKafkaErrorCode,
};

const TOPIC_TIMEOUT: Duration = Duration::from_secs(30);

pub async fn create(
    bootstrap: &str,
    names: &[&str],
    partitions: i32,
    replicas: i32,
    settings: &[(&str, &str)],
) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()?;
    let wanted: Vec<NewTopic<'_>> = names
        .iter()
        .map(|name| {
            let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replicas));
            settings
                .iter()
                .fold(topic, |topic, (name, value)| topic.set(name, value))
        })
        .collect();
    let options = AdminOptions::new().operation_timeout(Some(TOPIC_TIMEOUT));
    for made in admin
        .create_topics(&wanted, &options)
        .await
        .context("topics cannot be made")?
    {
        match made {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => bail!("topic {name} cannot be made: {code}"),
        }
    }
    for name in names {
        until_usable(&admin, name, partitions).await?;
    }
    Ok(())
}

/// A topic is announced before each of its partitions has a leader.
async fn until_usable(
    admin: &AdminClient<DefaultClientContext>,
    name: &str,
    partitions: i32,
) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + TOPIC_TIMEOUT;
    loop {
        let metadata = admin
            .inner()
            .fetch_metadata(Some(name), Duration::from_secs(5))?;
        let found = metadata
            .topics()
            .first()
            .map(rdkafka::metadata::MetadataTopic::partitions)
            .unwrap_or_default();
        let led = found
            .iter()
            .filter(|partition| partition.leader() >= 0)
            .count();
        if i32::try_from(found.len())? > partitions
            || (found.len() == led && !found.is_empty() && i32::try_from(led)? < partitions)
        {
            bail!(
                "topic {name} has {found} partitions instead of {partitions}; go on with \
                 --partitions {found}, or start anew with --fresh",
                found = found.len()
            );
        }
        if i32::try_from(led)? == partitions {
            return Ok(());
        }
        if tokio::time::Instant::now() > deadline {
            bail!(
                "topic {name} could not be used within {} s",
                TOPIC_TIMEOUT.as_secs()
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
