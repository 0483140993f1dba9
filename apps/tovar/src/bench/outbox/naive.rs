//! The relay that most teams write, as a peer for comparison, and as fast as its design allows.

use std::time::Duration;

use clap::Args;
use connect::KafkaSettings;
use futures_util::future::try_join_all;
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use uuid::Uuid;

use super::rig::SOURCE;
use crate::database;

#[derive(Clone, Debug, Args)]
pub struct NaiveArgs {
    /// In the environment, as each user of this machine may read arguments.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database: String,
    brokers: String,
    prefix: String,
}

/// Rows that a transaction sends.
const ROWS_PER_POLL: i64 = 1000;
/// Between two looks at an empty table.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
const READ: &str = "SELECT position, id, topic, key, type, payload FROM naive_outbox
    WHERE published_at IS NULL ORDER BY position LIMIT $1 FOR UPDATE SKIP LOCKED";

pub async fn relay(args: NaiveArgs) -> anyhow::Result<()> {
    let mut client = database::open(&args.database).await?;
    let read = client.prepare(READ).await?;
    let update = client
        .prepare("UPDATE naive_outbox SET published_at = now() WHERE position = ANY($1)")
        .await?;
    let kafka = KafkaSettings::new(args.brokers, args.prefix);
    let mut config = kafka.client_config("naive");
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.type", "lz4");
    config
        .set("linger.ms", "5")
        .set("partitioner", "murmur2_random");
    let producer: FutureProducer = config.create()?;
    loop {
        let transaction = client.transaction().await?;
        let rows = transaction.query(&read, &[&ROWS_PER_POLL]).await?;
        if rows.is_empty() {
            transaction.rollback().await?;
            tokio::time::sleep(POLL_INTERVAL).await;
            continue;
        }
        let sent = rows.iter().map(|row| {
            let id = row.get::<_, Uuid>(1).to_string();
            let topic = kafka.topic(row.get(2));
            let header = |key, value| Header {
                key,
                value: Some(value),
            };
            let headers = OwnedHeaders::new()
                .insert(header("ce_specversion", "1.0"))
                .insert(header("ce_id", id.as_str()))
                .insert(header("ce_type", row.get(4)))
                .insert(header("ce_source", SOURCE));
            let producer = &producer;
            async move {
                let record = FutureRecord::to(&topic)
                    .key(row.get::<_, &str>(3))
                    .payload(row.get::<_, &str>(5))
                    .headers(headers);
                producer
                    .send(record, Duration::MAX)
                    .await
                    .map_err(|(error, _)| error)
            }
        });
        try_join_all(sent).await?;
        let positions: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        transaction.execute(&update, &[&positions]).await?;
        transaction.commit().await?;
    }
}
