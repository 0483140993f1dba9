use std::io::Write;

use tokio::sync::OnceCell;

use crate::{Kafka, KafkaCluster, KafkaOptions, Means, Postgres, PostgresOptions};

/// One PostgreSQL and one Kafka.
#[derive(Debug)]
pub struct Servers {
    pub means: Means,
    pub postgres: Postgres,
    pub kafka: Kafka,
}

static SHARED: OnceCell<Servers> = OnceCell::const_new();

/// The servers that all tests of this process share; started at the first call, ended with the
/// process.
pub async fn shared() -> anyhow::Result<&'static Servers> {
    SHARED
        .get_or_try_init(|| async {
            let means = Means::detect().await?;
            // Not by eprintln, which the test harness keeps to itself.
            let _ = writeln!(std::io::stderr(), "servers: {means}");
            let quiet = |_: &str| {};
            let (postgres, kafka) = tokio::try_join!(
                Postgres::start(means, for_tests(), &quiet),
                Kafka::start(means, KafkaOptions::default(), &quiet),
            )?;
            Ok(Servers {
                means,
                postgres,
                kafka,
            })
        })
        .await
}

fn for_tests() -> PostgresOptions {
    PostgresOptions {
        settings: vec![("max_connections", "1000"), ("shared_buffers", "256MB")],
        ..PostgresOptions::default()
    }
}

/// A PostgreSQL of one's own, to be stopped, frozen or filled.
pub async fn own_postgres() -> anyhow::Result<Postgres> {
    Postgres::start(Means::detect().await?, for_tests(), &|_| {}).await
}

/// A Kafka of one's own, to be killed or frozen.
pub async fn own_kafka() -> anyhow::Result<Kafka> {
    Kafka::start(
        Means::detect().await?,
        KafkaOptions {
            heap: 256,
            ..KafkaOptions::default()
        },
        &|_| {},
    )
    .await
}

/// Three brokers of one's own, whose leaders move when one is killed.
pub async fn own_kafka_cluster() -> anyhow::Result<KafkaCluster> {
    let options = KafkaOptions {
        heap: 256,
        ..KafkaOptions::default()
    };
    KafkaCluster::start(3, &options).await
}
