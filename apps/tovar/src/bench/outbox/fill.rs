use std::fmt::Write;

use anyhow::Context;
use bytes::Bytes;
use futures_util::{SinkExt, future::try_join_all};
use rand::{Rng, SeedableRng, rngs::StdRng};
use uuid::Uuid;

use super::{
    payload::payload,
    relay::{COLUMNS, Kind},
    rig::{Run, TOPIC},
};

/// Rows of a transaction, and how many sessions write at the same time: several, so that positions
/// and transactions interleave.
const ROWS_PER_TRANSACTION: usize = 100;
const SESSIONS: u64 = 3;
/// How many keys the events have.
const KEYS: u32 = 20_000;
/// How many payloads are made: a million of them would take longer than the rows.
const PAYLOADS: usize = 5_000;

/// Writes `rows` events into the table of `kind`'s relay, in transactions of a hundred, and vacuums
/// it: autovacuum would do so soon, on the cores of the relay that is measured. Waits until the
/// disk has caught up.
pub async fn fill(run: &Run, kind: Kind, rows: usize) -> anyhow::Result<()> {
    let mut random = StdRng::seed_from_u64(7);
    let payloads: Vec<String> = (0..PAYLOADS).map(|_| payload(&mut random)).collect();
    let payloads = &payloads;
    let sql = format!("COPY {} ({}) FROM STDIN", kind.table(), COLUMNS);
    let share = rows / usize::try_from(SESSIONS)?;
    let sessions = (0..SESSIONS).map(|number| {
        let sql = &sql;
        let mut left = if number == 0 { rows - share * 2 } else { share };
        async move {
            let session = run.session().await?;
            let mut random = StdRng::seed_from_u64(number);
            while left > 0 {
                let rows = left.min(ROWS_PER_TRANSACTION);
                let mut text = String::with_capacity(rows * 1200);
                for _ in 0..rows {
                    let id = Uuid::now_v7();
                    let payload = &payloads[random.random_range(0..PAYLOADS)];
                    let key = random.random_range(0..KEYS);
                    writeln!(
                        text,
                        "{id}\t{TOPIC}\torder-{key}\tbench.event.v1\t{payload}"
                    )?;
                }
                let sink = session.copy_in(sql).await?;
                let mut sink = std::pin::pin!(sink);
                sink.send(Bytes::from(text)).await?;
                sink.finish().await?;
                left -= rows;
            }
            anyhow::Ok(())
        }
    });
    try_join_all(sessions)
        .await
        .context("the backlog cannot be written")?;
    let vacuum = format!("VACUUM (ANALYZE) {}", kind.table());
    run.client.batch_execute(&vacuum).await?;
    run.settle().await
}
