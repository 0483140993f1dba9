//! Whether what was sent before, or is held open, makes an event cost more.

use super::{drain::catch_up, fill::fill, relay::Kind, rig::Rig};
use crate::bench::report::Report;

const HISTORY: usize = 1_000_000;
/// After so many a relay has as much memory as its drains need: pages that it touches for the first
/// time are a start's cost.
const FIRST: usize = 100_000;

/// Backlogs, and how often each comes in a round: what is short is measured more often.
const BACKLOGS: [(usize, usize); 3] = [(10_000, 5), (100_000, 2), (1_000_000, 1)];

/// (4): backlogs of different sizes on top of a million acknowledged rows, one also with a
/// transaction open since before. One relay drains them all, the sizes in turn.
pub async fn measure(rig: &Rig, rounds: u32, report: &mut Report) -> anyhow::Result<()> {
    let run = rig.run().await?;
    fill(&run, Kind::Tovar, HISTORY).await?;
    // What a relay would have left behind once it had sent all of it.
    run.client
        .batch_execute("UPDATE outbox_cursor SET acknowledged = pg_current_snapshot()")
        .await?;
    let mut relay = Kind::Tovar.start(&run).await?;
    catch_up(&run, &mut relay, FIRST).await?;
    for _ in 0..rounds {
        for (events, repetitions) in BACKLOGS {
            let part = format!("after a million others, drain of {events} events");
            for _ in 0..repetitions {
                catch_up(&run, &mut relay, events).await?.say(&part, report);
            }
        }
        let mut open = run.session().await?;
        let open = open.transaction().await?;
        // Only a transaction that has written has an id, and holds the snapshot's lower end.
        open.execute(
            "INSERT INTO orders (customer, total) VALUES ('open', 1)",
            &[],
        )
        .await?;
        let part = "the same with a transaction open since before, drain of 100000 events";
        catch_up(&run, &mut relay, 100_000).await?.say(part, report);
        open.rollback().await?;
    }
    relay.stop().await
}
