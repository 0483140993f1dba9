//! Against a real Kafka.

use anyhow::Context;
use clap::Parser;
use connect::KafkaSettings;
use contracts::catalogue::TOPICS;
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
};
use topics::{TopicsSettings, make, min_insync};

fn settings(brokers: &str, arguments: &[&str]) -> TopicsSettings {
    let kafka = KafkaSettings::new(brokers, "");
    TopicsSettings {
        kafka,
        ..TopicsSettings::parse_from(std::iter::once(&"topics").chain(arguments))
    }
}

fn partitions(brokers: &str, topic: &str) -> anyhow::Result<usize> {
    let client: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()?;
    let metadata = client.fetch_metadata(Some(topic), std::time::Duration::from_secs(10))?;
    Ok(metadata
        .topics()
        .first()
        .context("no topic")?
        .partitions()
        .len())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_made_and_what_is_there_is_kept() -> anyhow::Result<()> {
    let kafka = backing::own_kafka().await?;
    let brokers = kafka.bootstrap();
    kafka.create_topics(&[TOPICS[0]], 3).await?;

    // Replication that the one broker cannot give is waited for, and then an error.
    let impossible = settings(&brokers, &["--replication", "3", "--patience", "0"]);
    let refused = make(&impossible)
        .await
        .expect_err("one broker cannot keep three copies");
    assert!(
        refused.to_string().contains("cannot be made"),
        "{refused:#}"
    );
    // A setting that Kafka does not know is an error at once.
    let unknown = settings(&brokers, &["--setting", "no.such=1"]);
    make(&unknown).await.expect_err("an unknown setting");

    let arguments = ["--partitions", "4", "--setting", "retention.ms=3600000"];
    for _ in ["made", "there already"] {
        make(&settings(&brokers, &arguments)).await?;
    }
    assert_eq!(partitions(&brokers, TOPICS[0])?, 3);
    for topic in &TOPICS[1..] {
        assert_eq!(partitions(&brokers, topic)?, 4);
    }

    // What is set of a topic is read back, and else the broker's default.
    let strict = "strict";
    kafka
        .create_topic(strict, 1, &[("min.insync.replicas", "2")])
        .await?;
    let admin = KafkaSettings::new(&brokers, "")
        .client_config("test")
        .create()?;
    assert_eq!(min_insync(&admin, strict).await?, 2);
    assert_eq!(min_insync(&admin, TOPICS[1]).await?, 1);
    min_insync(&admin, "none")
        .await
        .expect_err("a topic that does not exist");
    kafka.stop().await
}

#[test]
fn a_setting_has_a_name_and_a_value() {
    assert!(TopicsSettings::try_parse_from(["topics", "--setting", "retention.ms"]).is_err());
}
