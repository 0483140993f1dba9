//! `cargo tovar verify`: the nine invariants over all six databases, while the store runs.
//!
//! Six databases are not read in one instant, so a difference between two of them proves nothing by
//! itself. What makes it a proof is the order of the reading:
//!
//! 1. from each database, what Kafka has acknowledged of its outbox;
//! 2. from Kafka, whether each service has read its topics to the end;
//! 3. each database in one snapshot of its own: what contradicts itself, the orders, the outbox,
//!    the inbox;
//! 4. from each outbox, what was published since its snapshot.
//!
//! Each change that a service makes to an order is caused by an event in its inbox, or leaves an
//! event in its outbox, in the same transaction. So if every retained event of an order is in every
//! subscribed inbox (3), and none was published since (4), then the six snapshots are one
//! consistent state of this order, with nothing under way: a contradiction in it is final. An event
//! that no outbox retains any more was acknowledged long before (1), so a service that had read
//! everything at (2) has it. Everything else is not settled yet.

pub(crate) mod events;
pub mod invariants;
mod order;
mod reading;
pub(crate) mod report;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use anyhow::Context;
use chrono::TimeDelta;
use connect::KafkaSettings;
use futures_util::future::try_join_all;
use tokio::time::Instant;

pub use report::{Finding, Outcome, Report, Verdict};

use self::{
    events::{Events, Surroundings},
    invariants::INVARIANTS,
    order::Orders,
    reading::{Reading, Sent},
};
use crate::{
    database,
    operations::show,
    services::SERVICES,
    store_file::{StoreArgs, StoreFile},
    topics,
};

/// How long the services keep idempotency keys by default, in hours.
pub const DEFAULT_KEY_HOURS: u32 = 24;
/// How long after its deadline the sweeper may take to stop an order.
const SWEEP_DELAY_MAX: TimeDelta = TimeDelta::seconds(60);

#[derive(Clone, Debug, clap::Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    store: StoreArgs,

    /// Print JSON instead of text
    #[arg(long)]
    json: bool,

    /// Seconds to wait for what is under way to settle
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,

    /// Hours for which the services keep idempotency keys, by their settings
    #[arg(
        long,
        env = "IDEMPOTENCY_HOURS",
        value_name = "HOURS",
        default_value_t = DEFAULT_KEY_HOURS
    )]
    key_hours: u32,
}

/// How to reach a store's databases and Kafka.
#[derive(Clone)]
pub struct Sources {
    /// Addresses of the databases for a role that only reads, by service.
    pub readers: BTreeMap<String, String>,
    pub kafka: KafkaSettings,
    /// How long an idempotency key lives.
    pub key_hours: u32,
}

/// Checks, prints the report, and returns an exit code: 0 clean, 1 a violation, 2 could not check,
/// 3 not settled yet.
pub async fn verify(args: VerifyArgs) -> ExitCode {
    exit(run(&args).await, "the store cannot be checked")
}

/// The exit code of an outcome. An error is printed on standard error, and is code 2.
pub fn exit(outcome: anyhow::Result<Outcome>, failure: &str) -> ExitCode {
    match outcome {
        Ok(outcome) => ExitCode::from(outcome.code()),
        Err(error) => {
            eprintln!("error: {failure}: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(args: &VerifyArgs) -> anyhow::Result<Outcome> {
    let sources = Sources::of(&args.store.read()?, args.key_hours);
    let report = settled(&sources, Duration::from_secs(args.wait)).await?;
    show::print(args.json, &report, Report::text)?;
    Ok(report.outcome)
}

/// Checks again until nothing is under way, for at most `wait`. A violation is final.
pub async fn settled(sources: &Sources, wait: Duration) -> anyhow::Result<Report> {
    let deadline = Instant::now() + wait;
    loop {
        let report = check(sources).await?;
        if report.outcome != Outcome::NotSettled || Instant::now() >= deadline {
            return Ok(report);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Checks once.
pub async fn check(sources: &Sources) -> anyhow::Result<Report> {
    let mut clients = try_join_all(
        SERVICES
            .iter()
            .map(|service| database::open_of(&sources.readers, service)),
    )
    .await?;
    let sent = try_join_all(clients.iter().map(Sent::read)).await?;
    let unread = topics::unread(&sources.kafka, SERVICES.to_vec()).await;
    let reading =
        SERVICES
            .into_iter()
            .zip(&mut clients)
            .zip(&sent)
            .map(async |((service, client), sent)| {
                reading::read(service, client, sent, sources.key_hours)
                    .await
                    .with_context(|| format!("the database of {} cannot be read", service.name))
            });
    let readings = try_join_all(reading).await?;
    let since = clients
        .iter()
        .zip(&readings)
        .map(async |(client, reading)| reading::published_since(client, &reading.snapshot).await);
    let newer = try_join_all(since).await?.concat();

    let (notes, has_read_all) = match unread {
        Ok(unread) => (Vec::new(), has_read_all(unread)),
        Err(error) => {
            let note = format!("{error:#}; without it, fewer differences are proof");
            (vec![note], BTreeMap::new())
        }
    };
    let surroundings = Surroundings {
        has_read_all: &has_read_all,
        newer: &newer,
    };
    let mut orders = Orders::new();
    for parts in readings
        .iter()
        .filter_map(|reading| reading.orders.as_ref())
    {
        parts.put_into(&mut orders);
    }
    Ok(judge(&readings, &orders, &surroundings, notes))
}

fn has_read_all(
    unread: BTreeMap<&'static str, Vec<topics::Unread>>,
) -> BTreeMap<&'static str, bool> {
    unread
        .into_iter()
        .map(|(service, topics)| (service, topics.iter().all(|topic| topic.messages == 0)))
        .collect()
}

fn judge(
    readings: &[Reading],
    orders: &Orders,
    surroundings: &Surroundings<'_>,
    notes: Vec<String>,
) -> Report {
    let at = readings
        .iter()
        .map(|reading| reading.at)
        .max()
        .unwrap_or_default();
    let contradictions = readings.iter().flat_map(|reading| &reading.contradictions);
    let mut findings: Vec<Finding> = contradictions.cloned().collect();
    let mut events = Events::judge(readings, surroundings);
    findings.append(&mut events.findings);
    let all_have_read_all = SERVICES.iter().all(|service| {
        surroundings
            .has_read_all
            .get(service.name)
            .is_some_and(|all| *all)
    });
    for (id, order) in orders {
        let rules = INVARIANTS
            .iter()
            .flat_map(|invariant| invariant.rules.iter().map(|rule| (invariant.number, rule)));
        for (number, rule) in rules.filter(|(_, rule)| (rule.broken)(order)) {
            let key = id.to_string();
            let mut detail = order.describe();
            let deadline = order
                .deadline
                .filter(|deadline| rule.until_deadline && *deadline + SWEEP_DELAY_MAX > at);
            let since = if let Some(under_way) = events.under_way(&key) {
                detail = format!("{detail}; {}", under_way.what);
                Some(under_way.since)
            } else if let Some(deadline) = deadline {
                detail = format!("{detail}; its deadline is at {}", deadline.to_rfc3339());
                Some(at)
            } else if !events.is_retained(&key) && !all_have_read_all {
                detail = format!(
                    "{detail}; its events left the outboxes, and not every service has read all \
                     topics"
                );
                Some(at)
            } else {
                None
            };
            if let Some(discarded) = events.discarded(&key) {
                detail = format!("{detail}; {}", discarded.join(", "));
            }
            findings.push(Finding {
                invariant: number,
                what: rule.what.to_owned(),
                id: key,
                detail,
                since,
            });
        }
    }
    Report::new(at, notes, findings)
}

impl Sources {
    pub fn of(store: &StoreFile, key_hours: u32) -> Self {
        Self {
            readers: store.readers.clone(),
            kafka: KafkaSettings::new(&store.kafka_brokers, &store.kafka_prefix),
            key_hours,
        }
    }
}
