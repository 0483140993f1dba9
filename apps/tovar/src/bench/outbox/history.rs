//! Measures whether an event costs more after many others, or with an open transaction.

use super::{drain::catch_up, fill::fill, relay::Kind, rig::Rig};
use crate::bench::report::BenchReport;

/// Acknowledged events below the backlogs.
const HISTORY_EVENTS: usize = 1_000_000;
/// Events that are drained before the measurement: by then the relay has allocated the memory that
/// its drains need.
const WARM_UP_EVENTS: usize = 100_000;

/// The sizes of backlogs, and how often each comes in a round: a short drain is measured more
/// often.
const BACKLOGS: [(usize, usize); 3] = [(10_000, 5), (100_000, 2), (1_000_000, 1)];

/// (4): measures backlogs of different sizes on top of a million acknowledged rows, and one while
/// an older transaction is open. One relay drains all of them in turn.
pub async fn measure(rig: &Rig, rounds: u32, report: &mut BenchReport) -> anyhow::Result<()> {
    let run = rig.run().await?;
    fill(&run, Kind::Tovar, HISTORY_EVENTS).await?;
    // As a relay saves it once Kafka has acknowledged all of it.
    run.client
        .batch_execute("UPDATE outbox_cursor SET acknowledged = pg_current_snapshot()")
        .await?;
    let mut relay = Kind::Tovar.start(&run).await?;
    catch_up(&run, &mut relay, WARM_UP_EVENTS).await?;
    for _ in 0..rounds {
        for (events, repetitions) in BACKLOGS {
            let part = format!("after a million others, drain of {events} events");
            for _ in 0..repetitions {
                catch_up(&run, &mut relay, events).await?.say(&part, report);
            }
        }
        let mut open = run.session().await?;
        let open = open.transaction().await?;
        // A transaction gets an id when it writes, and only with an id does it hold back the lower
        // end of snapshots.
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
