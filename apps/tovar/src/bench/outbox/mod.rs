//! `cargo tovar bench outbox`: how fast events get from a database to Kafka, by this project's
//! relay or by a peer.

mod arrivals;
mod ceiling;
mod debezium;
mod drain;
mod fill;
mod history;
mod idle;
mod insert;
mod latency;
pub mod naive;
mod payload;
mod relay;
pub mod rig;
mod sustained;
mod writers;

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

pub use fill::fill;
pub use relay::Kind;
use rig::Rig;

use super::report::BenchReport;

#[derive(Clone, Debug, Args)]
pub struct OutboxArgs {
    /// Relays to measure in turn, on the same servers
    #[arg(long, value_enum, value_delimiter = ',', default_value = "tovar")]
    peer: Vec<Kind>,

    /// What to measure; without it, all. Peers have drain, latency and sustained
    #[arg(long, value_enum, value_delimiter = ',')]
    part: Vec<Part>,

    /// Events of a backlog
    #[arg(
        long,
        default_value_t = 300_000,
        value_parser = clap::value_parser!(u64).range(10_000..=5_000_000)
    )]
    events: u64,

    /// Seconds of each part that runs for a time
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,

    /// How often to repeat drains and latencies; the report shows the median and the spread
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    repeat: u32,

    /// Where the servers keep their data while it runs: a disk to be measured
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Part {
    /// (1, 6) A backlog: its rate, and CPU and memory
    Drain,
    /// (2) 600 events a second: commit to Kafka, and to the consumer's commit
    Latency,
    /// (3) Eight writers as fast as they can
    Sustained,
    /// (4) Backlogs on top of a million events that were sent before
    History,
    /// (5) The producer without a database, the database without a producer
    Ceiling,
    /// (7) Six relays with nothing to do
    Idle,
    /// (8) What publishing costs a transaction
    Insert,
}

/// The rate at which latency is measured: well below what a relay can send.
const EVENTS_PER_SECOND: u32 = 600;
/// Writers of the part `sustained`.
const WRITERS: u64 = 8;
/// Messages and seconds before the measurements, which do not count: by then the broker's JVM has
/// compiled most of its code. Until then it takes two to three times the CPU.
const WARMING: (usize, Duration) = (1_000_000, Duration::from_secs(20));

pub async fn measure(args: &OutboxArgs, report: &mut BenchReport) -> anyhow::Result<()> {
    let rig = Rig::start(args.data.as_deref()).await?;
    report.setting("servers", rig.describe());
    report.setting(
        "events",
        format!(
            "about {} bytes of JSON, {} partitions, acks=all, lz4",
            payload::BYTES,
            rig::PARTITIONS
        ),
    );
    report.setting("durability", "fsync and synchronous_commit on");
    let events = usize::try_from(args.events)?;
    let time = Duration::from_secs(args.seconds);
    let wants = |part: Part| args.part.is_empty() || args.part.contains(&part);
    warm(&rig, events, report).await?;
    for round in 1..=args.repeat {
        for &kind in &args.peer {
            let of = format!("{} (round {round} of {})", kind.name(), args.repeat);
            if wants(Part::Ceiling) && kind == Kind::Tovar {
                say(&format!("the ceilings (round {round} of {})", args.repeat));
                ceiling::measure(&rig, events, report).await?;
            }
            if wants(Part::Drain) {
                say(&format!("drain, {of}"));
                drain::measure(&rig, kind, events, report).await?;
            }
            if wants(Part::Latency) {
                say(&format!("latency, {of}"));
                latency::measure(&rig, kind, EVENTS_PER_SECOND, time, report).await?;
            }
            if wants(Part::Sustained) {
                say(&format!("sustained, {of}"));
                sustained::measure(&rig, kind, WRITERS, time, report).await?;
            }
        }
    }
    if args.peer.contains(&Kind::Tovar) {
        if wants(Part::History) {
            say("history");
            history::measure(&rig, args.repeat, report).await?;
        }
        if wants(Part::Idle) {
            say("idle");
            idle::measure(&rig, time, report).await?;
        }
        if wants(Part::Insert) {
            say("insert");
            insert::measure(&rig, Duration::from_secs(args.seconds.min(5)), report).await?;
        }
    }
    rig.stop().await
}

async fn warm(rig: &Rig, events: usize, report: &mut BenchReport) -> anyhow::Result<()> {
    eprintln!("warming the broker");
    let (messages, time) = WARMING;
    ceiling::from_memory(rig, messages).await?;
    let mut uncounted = BenchReport::new();
    drain::measure(rig, Kind::Tovar, events, &mut uncounted).await?;
    latency::measure(rig, Kind::Tovar, EVENTS_PER_SECOND, time, &mut uncounted).await?;
    let by = format!(
        "{messages} messages, a drain and {} s of latency",
        time.as_secs()
    );
    report.setting("broker", format!("warmed by {by} that do not count"));
    Ok(())
}

/// Lets this project's relay send the `count` events in the outbox.
pub async fn relayed(run: &rig::Run, count: u64) -> anyhow::Result<()> {
    let mut relay = Kind::Tovar.start(run).await?;
    arrivals::Arrivals::of(run)?
        .until(count, &mut relay, Duration::from_secs(600))
        .await?;
    relay.stop().await
}

fn say(what: &str) {
    eprintln!("measuring: {what}");
}
