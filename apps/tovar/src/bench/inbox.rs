//! `cargo tovar bench inbox`: how fast one consumer applies events, dedup included.

use std::time::{Duration, Instant};

use clap::Args;

use super::{
    consume::{Consumption, applied_and_published},
    outbox::{Kind, fill, relayed, rig::Rig},
    report::BenchReport,
};

#[derive(Clone, Debug, Args)]
pub struct InboxArgs {
    /// Events to apply in each measurement
    #[arg(
        long,
        default_value_t = 50_000,
        value_parser = clap::value_parser!(u64).range(1_000..=5_000_000)
    )]
    events: u64,

    /// Partitions of the topic, one measurement for each number
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8,12")]
    partitions: Vec<i32>,

    /// Rows that the inbox has already in the last measurement
    #[arg(long, default_value_t = 10_000_000)]
    history: u64,
}

pub async fn measure(args: &InboxArgs, report: &mut BenchReport) -> anyhow::Result<()> {
    let rig = Rig::start(None).await?;
    report.setting("servers", rig.describe());
    report.setting(
        "handler",
        "one row of the domain changed, one event published, one row of the inbox",
    );
    for partitions in &args.partitions {
        one(&rig, args, *partitions, 0, report).await?;
    }
    one(&rig, args, 12, args.history, report).await?;
    rig.stop().await
}

async fn one(
    rig: &Rig,
    args: &InboxArgs,
    partitions: i32,
    history: u64,
    report: &mut BenchReport,
) -> anyhow::Result<()> {
    eprintln!("measuring: {partitions} partitions, {history} events known");
    let run = rig.run_with(partitions).await?;
    // The ids are UUIDs of version 7, as those of events, a millisecond apart.
    let sql = format!(
        "INSERT INTO inbox (consumer, event_id, type, applied_at)
         SELECT 'bench', (lpad(to_hex(began + n), 12, '0') || '7' || substr(random, 1, 3) || '8'
         || substr(random, 4, 15))::uuid,
           'bench.event.v1', now() - interval '1 day'
         FROM (SELECT floor(extract(epoch FROM now() - interval '1 day') * 1000)::bigint AS
         began) AS a_day_ago,
           generate_series(1, {history}) AS n, md5(n::text) AS random"
    );
    run.client.batch_execute(&sql).await?;
    run.client.batch_execute("VACUUM ANALYZE inbox").await?;
    let events = usize::try_from(args.events)?;
    fill(&run, Kind::Tovar, events).await?;
    relayed(&run, args.events).await?;
    let consumption = Consumption::start(&run, applied_and_published()).await?;
    consumption.until(1, Duration::from_secs(60)).await?;
    let (began, known) = (Instant::now(), consumption.count());
    consumption.until(events, Duration::from_secs(900)).await?;
    let seconds = began.elapsed().as_secs_f64();
    consumption.stop().await;
    let part = if history == 0 {
        "one consumer".to_owned()
    } else {
        format!("one consumer, {history} events known before")
    };
    report.number(
        &part,
        &format!("{partitions} partitions"),
        "events/s",
        (events - known) as f64 / seconds,
    );
    Ok(())
}
