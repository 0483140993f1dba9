//! Measures six relays while nothing is published.

use std::time::Duration;

use super::{relay::Kind, rig::Rig};
use crate::bench::{
    processes::{Processes, resident},
    report::BenchReport,
};

/// As many relays as the store has services.
const RELAYS: usize = 6;

/// (7): measures the CPU of the relays and of their sessions in PostgreSQL, and the memory of each
/// relay.
pub async fn measure(rig: &Rig, time: Duration, report: &mut BenchReport) -> anyhow::Result<()> {
    let part = "six relays with nothing to do";
    let without = over(time, &[]).await;
    let mut relays = Vec::new();
    for _ in 0..RELAYS {
        relays.push(Kind::Tovar.start(&rig.run().await?).await?);
    }
    // By then all relays sleep.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let ids: Vec<u32> = relays.iter().map(super::relay::Relay::id).collect();
    let with = over(time, &ids).await;
    report.number(part, "CPU of the relays", "% of one", with.relays);
    report.number(
        part,
        "CPU of PostgreSQL beyond that without relays",
        "% of one",
        (with.postgres - without.postgres).max(0.0),
    );
    for (relay, id) in relays.iter_mut().zip(ids) {
        relay.check()?;
        report.number(
            part,
            "memory of a relay",
            "MB",
            resident(id) as f64 / 1024.0,
        );
    }
    for relay in relays {
        relay.stop().await?;
    }
    Ok(())
}

struct Share {
    relays: f64,
    postgres: f64,
}

async fn over(time: Duration, relays: &[u32]) -> Share {
    let before = Processes::now();
    tokio::time::sleep(time).await;
    let after = Processes::now();
    let percent = |seconds: f64| seconds / time.as_secs_f64() * 100.0;
    Share {
        relays: percent(
            relays
                .iter()
                .map(|id| after.cpu_of(*id) - before.cpu_of(*id))
                .sum(),
        ),
        postgres: percent(after.postgres() - before.postgres()),
    }
}
