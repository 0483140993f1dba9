use std::io::Write;

use tokio::sync::OnceCell;

use crate::{Kafka, KafkaCluster, KafkaOptions, Postgres, PostgresOptions, ServerKind};

/// One PostgreSQL and one Kafka.
#[derive(Debug)]
pub struct Servers {
    pub kind: ServerKind,
    pub postgres: Postgres,
    pub kafka: Kafka,
}

static SHARED: OnceCell<Servers> = OnceCell::const_new();

/// The servers that all tests of this process share. They start at the first call and end with the
/// process.
pub async fn shared() -> anyhow::Result<&'static Servers> {
    SHARED
        .get_or_try_init(|| async {
            let kind = ServerKind::detect().await?;
            // Not by eprintln, whose output the test harness hides.
            let _ = writeln!(std::io::stderr(), "servers: {kind}");
            let no_progress = |_: &str| {};
            let (postgres, kafka) = tokio::try_join!(
                Postgres::start(kind, for_tests(), &no_progress),
                Kafka::start(kind, KafkaOptions::default(), &no_progress),
            )?;
            Ok(Servers {
                kind,
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

/// A PostgreSQL for one test, which may stop, freeze or fill it.
pub async fn own_postgres() -> anyhow::Result<Postgres> {
    Postgres::start(ServerKind::detect().await?, for_tests(), &|_| {}).await
}

/// A Kafka for one test, which may kill or freeze it.
pub async fn own_kafka() -> anyhow::Result<Kafka> {
    Kafka::start(
        ServerKind::detect().await?,
        KafkaOptions {
            heap: 256,
            ..KafkaOptions::default()
        },
        &|_| {},
    )
    .await
}

/// Three brokers for one test. When the test kills one, others lead its partitions.
pub async fn own_kafka_cluster() -> anyhow::Result<KafkaCluster> {
    let options = KafkaOptions {
        heap: 256,
        ..KafkaOptions::default()
    };
    KafkaCluster::start(3, &options).await
}
