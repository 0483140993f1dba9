//! Measures whether the relay keeps up with writers that write as fast as they can.

use std::time::{Duration, Instant};

use super::{
    arrivals::Arrivals,
    relay::Kind,
    rig::Rig,
    writers::{Writer, flat_out},
};
use crate::bench::report::BenchReport;

/// (3): measures how much is written a second, and how far the relay is behind at the end.
pub async fn measure(
    rig: &Rig,
    kind: Kind,
    writers: u64,
    time: Duration,
    report: &mut BenchReport,
) -> anyhow::Result<()> {
    let part = format!("{writers} writers as fast as they can, {}", kind.name());
    let (run, mut relay) = kind.at_work(rig).await?;
    let arrivals = Arrivals::of(&run)?;
    let mut writers = Writer::several(&run, &kind.publish_sql(), writers).await?;
    let warm = flat_out(&mut writers, Duration::from_secs(3)).await?.len() as u64;
    arrivals
        .until(warm, &mut relay, Duration::from_secs(300))
        .await?;
    let written = flat_out(&mut writers, time).await?.len() as u64;
    let (ended, arrived) = (Instant::now(), arrivals.count()?);
    let behind = (warm + written).saturating_sub(arrived);
    arrivals
        .until(warm + written, &mut relay, Duration::from_secs(600))
        .await?;
    let caught_up = ended.elapsed().as_secs_f64();
    report.number(
        &part,
        "written",
        "events/s",
        written as f64 / time.as_secs_f64(),
    );
    report.number(
        &part,
        "behind when the writers stop",
        "events",
        behind as f64,
    );
    report.number(&part, "and then, until all have arrived", "s", caught_up);
    report.number(
        &part,
        "sent, over the whole time",
        "events/s",
        written as f64 / (time.as_secs_f64() + caught_up),
    );
    relay.stop().await
}
