//! Waits until all committed events have arrived everywhere, and has the result judged.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use anyhow::Context;
use tokio::time::{Instant, sleep};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    consumer::GROUP,
    judge::{Evidence, Sequence, violations},
    rig::Rig,
    topic::Topic,
    writers::Writers,
};
use crate::database;

/// Between two looks whether all events are applied.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The state of the store after a fault.
pub struct CheckResult {
    pub recovery: Duration,
    pub committed: usize,
    pub violations: Vec<String>,
}

/// Checks the store while the load goes on. `topic` keeps its place between checks, so that each
/// message is read once.
pub async fn check(
    rig: &mut Rig,
    writers: &Writers,
    topic: &mut Topic,
    within: Duration,
) -> anyhow::Result<CheckResult> {
    let healed = Instant::now();
    let mut client = rig.session().await?;
    let row = client
        .query_one("SELECT pg_current_snapshot()::text", &[])
        .await?;
    let now: String = row.get(0);
    let missing = client
        .prepare(
            "SELECT count(*) FROM outbox o WHERE pg_visible_in_snapshot(xid, $1::text::pg_snapshot)
             AND NOT EXISTS (SELECT FROM applied a WHERE a.id = o.id)",
        )
        .await?;
    while client.query_one(&missing, &[&now]).await?.get::<_, i64>(0) > 0
        && healed.elapsed() < within
    {
        rig.restart_missing()?;
        sleep(POLL_INTERVAL).await;
    }
    let recovery = healed.elapsed();

    let addresses = rig.addresses.clone();
    let mut taken = std::mem::take(topic);
    *topic = tokio::task::spawn_blocking(move || taken.read_on(&addresses).map(|()| taken))
        .await?
        .context("the topic cannot be read")?;
    let outcomes = writers.outcomes();
    let snapshot = database::one_instant(&mut client).await?;
    let rows = snapshot
        .query(
            "SELECT key, id, pg_visible_in_snapshot(xid, $1::text::pg_snapshot) FROM outbox ORDER \
             BY position",
            &[&now],
        )
        .await?;
    let log: Sequence = rows.iter().map(pair).collect();
    let due: HashSet<Uuid> = rows
        .iter()
        .filter(|row| row.get(2))
        .map(|row| row.get(1))
        .collect();
    let rows = snapshot
        .query("SELECT key, id FROM applied ORDER BY seq", &[])
        .await?;
    let applied: Sequence = rows.iter().map(pair).collect();
    let rows = snapshot
        .query("SELECT key, events FROM counted", &[])
        .await?;
    let counted: HashMap<String, i64> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let rows = snapshot
        .query("SELECT event_id FROM inbox WHERE consumer = $1", &[&GROUP])
        .await?;
    let inbox: HashSet<Uuid> = rows.iter().map(|row| row.get(0)).collect();
    Ok(CheckResult {
        recovery,
        committed: log.len(),
        violations: violations(&Evidence {
            topic: &topic.first,
            outcomes: &outcomes,
            log: &log,
            due: &due,
            applied: &applied,
            counted: &counted,
            inbox: &inbox,
        }),
    })
}

fn pair(row: &Row) -> (String, Uuid) {
    (row.get(0), row.get(1))
}
