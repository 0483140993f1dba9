//! Measures the time from a commit to Kafka, and to the consumer's own commit.

use std::time::Duration;

use super::{arrivals::Arrivals, relay::Kind, rig::Rig, writers::paced};
use crate::bench::{
    consume::{Consumption, applied},
    processes::{Processes, resident},
    report::BenchReport,
};

/// (2): measures both times, each in a run of its own, so that the consumer's CPU does not count as
/// the relay's.
pub async fn measure(
    rig: &Rig,
    kind: Kind,
    rate: u32,
    time: Duration,
    report: &mut BenchReport,
) -> anyhow::Result<()> {
    to_kafka(rig, kind, rate, time, report).await?;
    to_consumer(rig, kind, rate, time, report).await
}

async fn to_kafka(
    rig: &Rig,
    kind: Kind,
    rate: u32,
    time: Duration,
    report: &mut BenchReport,
) -> anyhow::Result<()> {
    let part = format!("{rate} events/s, by {}", kind.name());
    let (run, mut relay) = kind.at_work(rig).await?;
    let arrivals = Arrivals::of(&run)?;
    let warm = paced(kind, &run, rate, Duration::from_secs(5)).await?;
    arrivals
        .until(warm.len() as u64, &mut relay, Duration::from_secs(120))
        .await?;
    let before = Processes::now();
    let committed = paced(kind, &run, rate, time).await?;
    let after = Processes::now();
    arrivals
        .until(
            (warm.len() + committed.len()) as u64,
            &mut relay,
            Duration::from_secs(120),
        )
        .await?;
    let times = arrivals.times()?;
    // The broker's times are cut to whole milliseconds. A millisecond is added, so that the result
    // is never too small.
    let took = committed
        .iter()
        .filter_map(|(id, at)| Some((times.get(id)? * 1000 + 1000 - at) as f64 / 1e3));
    let mut took: Vec<f64> = took.collect();
    anyhow::ensure!(
        took.len() == committed.len(),
        "{} of {} events arrived",
        took.len(),
        committed.len()
    );
    report.number(&part, "events", "", took.len() as f64);
    report.percentiles(&part, "commit to Kafka, at most", "ms", &mut took);
    let cores = |seconds: f64| seconds / time.as_secs_f64() * 100.0;
    report.number(
        &part,
        "CPU of the relay",
        "% of one",
        cores(after.cpu_of(relay.id()) - before.cpu_of(relay.id())),
    );
    report.number(
        &part,
        "CPU of PostgreSQL",
        "% of one",
        cores(after.postgres() - before.postgres()),
    );
    report.number(
        &part,
        "memory of the relay",
        "MB",
        resident(relay.id()) as f64 / 1024.0,
    );
    relay.stop().await
}

async fn to_consumer(
    rig: &Rig,
    kind: Kind,
    rate: u32,
    time: Duration,
    report: &mut BenchReport,
) -> anyhow::Result<()> {
    let part = format!("{rate} events/s, by {}", kind.name());
    let (run, mut relay) = kind.at_work(rig).await?;
    let consumption = Consumption::start(&run, applied()).await?;
    let warm = paced(kind, &run, rate, Duration::from_secs(5)).await?;
    consumption
        .until(warm.len(), Duration::from_secs(120))
        .await?;
    relay.check()?;
    let committed = paced(kind, &run, rate, time).await?;
    consumption
        .until(warm.len() + committed.len(), Duration::from_secs(120))
        .await?;
    let times = consumption.stop().await;
    let took = committed
        .iter()
        .filter_map(|(id, at)| Some((times.get(id)? - at) as f64 / 1e3));
    let mut took: Vec<f64> = took.collect();
    anyhow::ensure!(
        took.len() == committed.len(),
        "{} of {} events were applied",
        took.len(),
        committed.len()
    );
    report.percentiles(&part, "commit to the consumer's commit", "ms", &mut took);
    relay.stop().await
}
