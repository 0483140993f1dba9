//! Measures how fast a relay drains a backlog that was written while it was down.

use std::time::{Duration, Instant};

use super::{
    arrivals::{Arrivals, total},
    fill::fill,
    relay::{Kind, Relay},
    rig::{Rig, Run},
};
use crate::bench::{
    processes::{Processes, resident_at_most},
    report::BenchReport,
};

/// Bounds a drain.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(600);

/// (1) and (6): measures the rate of the drain, and its CPU and memory.
pub async fn measure(
    rig: &Rig,
    kind: Kind,
    events: usize,
    report: &mut BenchReport,
) -> anyhow::Result<()> {
    let part = format!("drain of {events} events by {}", kind.name());
    let run = rig.run().await?;
    kind.prepare(&run).await?;
    fill(&run, kind, events).await?;
    let drained = drain(&run, kind, events).await?;
    drained.say(&part, report);
    Ok(())
}

/// The time, CPU and memory of a drain. CPU in seconds, memory in MB.
pub struct Drained {
    pub events: f64,
    /// From the first message that the broker wrote to the last.
    pub seconds: f64,
    /// From the relay's start, or from when it continued.
    pub until_arrived: f64,
    pub relay_cpu: f64,
    pub postgres_cpu: f64,
    pub kafka_cpu: f64,
    pub duplicates: f64,
    pub resident: f64,
}

impl Drained {
    pub fn say(&self, part: &str, report: &mut BenchReport) {
        let per = 100_000.0 / self.events;
        report.number(part, "rate", "events/s", self.events / self.seconds);
        report.number(
            part,
            "seconds until all have arrived",
            "s",
            self.until_arrived,
        );
        report.number(
            part,
            "CPU of the relay per 100,000 events",
            "s",
            self.relay_cpu * per,
        );
        report.number(
            part,
            "CPU of PostgreSQL per 100,000 events",
            "s",
            self.postgres_cpu * per,
        );
        report.number(
            part,
            "CPU of Kafka per 100,000 events",
            "s",
            self.kafka_cpu * per,
        );
        report.number(part, "most memory of the relay", "MB", self.resident);
        report.number(part, "sent more than once", "events", self.duplicates);
    }
}

/// Starts the relay on a backlog, and waits until all of it has arrived.
pub async fn drain(run: &Run, kind: Kind, events: usize) -> anyhow::Result<Drained> {
    let watch = Watch::begin(run)?;
    let mut relay = kind.start(run).await?;
    let drained = watch.until_arrived(events, &mut relay).await?;
    relay.stop().await?;
    Ok(drained)
}

/// Pauses a relay while a backlog is written, and waits until all of it has arrived. So the drain
/// is measured without the relay's start.
pub async fn catch_up(run: &Run, relay: &mut Relay, events: usize) -> anyhow::Result<Drained> {
    relay.pause()?;
    fill(run, relay.kind(), events).await?;
    let watch = Watch::begin(run)?;
    relay.resume()?;
    watch.until_arrived(events, relay).await
}

/// The state before a drain.
struct Watch {
    arrivals: Arrivals,
    ends: Vec<i64>,
    processes: Processes,
    began: Instant,
}

impl Watch {
    fn begin(run: &Run) -> anyhow::Result<Self> {
        let arrivals = Arrivals::of(run)?;
        Ok(Self {
            ends: arrivals.ends()?,
            arrivals,
            processes: Processes::now(),
            began: Instant::now(),
        })
    }

    async fn until_arrived(self, events: usize, relay: &mut Relay) -> anyhow::Result<Drained> {
        let Self {
            arrivals,
            ends,
            processes: before,
            began,
        } = self;
        let there = total(&ends)?;
        arrivals
            .until(there + events as u64, relay, DRAIN_TIMEOUT)
            .await?;
        let (after, until_arrived) = (Processes::now(), began.elapsed().as_secs_f64());
        Ok(Drained {
            events: events as f64,
            seconds: arrivals.seconds(&ends)?,
            until_arrived,
            relay_cpu: after.cpu_of(relay.id()) - before.cpu_of(relay.id()),
            postgres_cpu: after.postgres() - before.postgres(),
            kafka_cpu: after.kafka() - before.kafka(),
            duplicates: (arrivals.count()? - there) as f64 - events as f64,
            resident: resident_at_most(relay.id()) as f64 / 1024.0,
        })
    }
}
