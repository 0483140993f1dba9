//! Measures what publishing costs a service, compared with a plain insert into a plain table.

use std::time::Duration;

use super::{
    relay::Kind,
    rig::Rig,
    writers::{Writer, flat_out},
};
use crate::bench::report::BenchReport;

const PLAIN: &str = "CREATE TABLE plain (position bigint GENERATED ALWAYS AS IDENTITY PRIMARY
    KEY, id uuid NOT NULL, topic text NOT NULL,
    key text NOT NULL, type text NOT NULL, payload text NOT NULL, recorded_at timestamptz NOT
    NULL DEFAULT clock_timestamp())";
const INSERT: &str =
    "INSERT INTO plain (id, topic, key, type, payload) VALUES ($1, $2, $3, $4, $5)";

/// (8): measures transactions a second and the time of one: a plain insert, publish, and publish
/// while a relay sends.
pub async fn measure(rig: &Rig, time: Duration, report: &mut BenchReport) -> anyhow::Result<()> {
    let run = rig.run().await?;
    run.client.batch_execute(PLAIN).await?;
    for writers in [1, 2, 4, 8, 16, 32] {
        let part = format!("a transaction with an event, {writers} writers");
        let mut rates = [0.0; 3];
        let methods = [
            ("plain insert", INSERT.to_owned(), false),
            ("publish", Kind::Tovar.publish_sql(), false),
            ("publish, relay at work", Kind::Tovar.publish_sql(), true),
        ];
        for ((name, sql, relayed), rate) in methods.into_iter().zip(&mut rates) {
            let relay = if relayed {
                Some(Kind::Tovar.start(&run).await?)
            } else {
                None
            };
            let mut sessions = Writer::several(&run, &sql, writers).await?;
            flat_out(&mut sessions, Duration::from_secs(1)).await?;
            let mut took = flat_out(&mut sessions, time).await?;
            *rate = took.len() as f64 / time.as_secs_f64();
            report.number(&part, &format!("{name}: transactions"), "/s", *rate);
            report.percentiles(&part, &format!("{name}:"), "ms", &mut took);
            if let Some(relay) = relay {
                relay.stop().await?;
            }
        }
        report.number(
            &part,
            "publish against plain insert",
            "ratio",
            rates[1] / rates[0],
        );
    }
    Ok(())
}
