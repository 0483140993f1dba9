//! `cargo tovar outbox audit`: whether a service's topics say what its outbox says, while the store
//! runs.
//!
//! Neither side stands still, so the order of the reading makes a difference a proof:
//!
//! 1. the outbox's snapshot at the beginning; the events in it are judged. The audit may wait for
//!    the relay;
//! 2. what the relay has saved as acknowledged, and what is parked;
//! 3. Kafka's ends, and each topic up to there;
//! 4. the outbox in one snapshot.
//!
//! An event that (2) calls acknowledged was in Kafka before (3): if it is not there, and the topic
//! reaches back so far, it was lost. An event that was read in (3) was committed before (4): if it
//! is not in the outbox, and the outbox reaches back so far, no service committed it.

mod history;
mod judge;
mod report;
#[cfg(test)]
mod tests;
mod topic;

use std::{process::ExitCode, time::Duration};

use anyhow::Context;
use connect::KafkaSettings;

pub use self::report::{AuditReport, TopicAudit};
pub(crate) use self::topic::Messages;
use self::{history::History, judge::judge};
use crate::{
    database,
    operations::{QueryArgs, show},
    services::ServiceInfo,
    store_file::StoreFile,
    verify::{Outcome, exit},
};

#[derive(Clone, Debug, clap::Args)]
pub struct AuditArgs {
    #[command(flatten)]
    look: QueryArgs,

    /// Seconds to wait for what was committed before to be acknowledged
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    wait: u64,
}

/// Audits, prints the report, and returns an exit code as `verify` does.
pub async fn audit(args: AuditArgs) -> ExitCode {
    exit(run(&args).await, "the outboxes cannot be audited")
}

async fn run(args: &AuditArgs) -> anyhow::Result<Outcome> {
    let store = args.look.store.read()?;
    let report = all(
        &store,
        &args.look.services(),
        Duration::from_secs(args.wait),
    )
    .await?;
    show::print(args.look.json, &report, AuditReport::text)?;
    Ok(report.outcome)
}

/// Audits these services, one after the other: each takes memory for all that its outbox and topics
/// retain.
pub async fn all(
    store: &StoreFile,
    services: &[ServiceInfo],
    wait: Duration,
) -> anyhow::Result<AuditReport> {
    let mut topics = Vec::new();
    for service in services {
        let found = of_service(store, service, wait).await;
        topics.extend(
            found.with_context(|| format!("the events of {} cannot be read", service.name))?,
        );
    }
    Ok(AuditReport::new(topics))
}

async fn of_service(
    store: &StoreFile,
    service: &ServiceInfo,
    wait: Duration,
) -> anyhow::Result<Vec<TopicAudit>> {
    let kafka = KafkaSettings::new(&store.kafka_brokers, &store.kafka_prefix);
    let mut client = database::open_of(&store.readers, service).await?;
    let beginning = history::beginning(&client, wait).await?;
    let before = history::acknowledged(&client).await?;
    let mut read = Vec::new();
    for topic in history::topics(&client).await? {
        let messages = Messages::read(&kafka, &topic).await;
        let messages =
            messages.with_context(|| format!("topic {} cannot be read", kafka.topic(&topic)))?;
        read.push((topic, messages));
    }
    let history = History::read(&mut client, &beginning, &before).await?;
    let judged = read.iter();
    let judged = judged.map(|(topic, messages)| judge(service.name, topic, &history, messages));
    Ok(judged.collect())
}
