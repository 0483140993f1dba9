//! Transactions like those of a service: a row of the domain, and an event about it.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use kernel::Clock;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio_postgres::{Client, Statement};
use uuid::Uuid;

use super::{
    payload::payload,
    relay::Kind,
    rig::{Run, TOPIC},
};

/// How many payloads are made before the measurement.
const PAYLOADS: usize = 1_000;
/// How many keys the events have.
const KEYS: u32 = 20_000;

/// One session that writes.
pub struct Writer {
    client: Client,
    order: Statement,
    publish: Statement,
    payloads: Arc<Vec<String>>,
    random: StdRng,
}

impl Writer {
    /// Writers that publish by `publish_sql`: id, topic, key, type, payload.
    pub async fn several(run: &Run, publish_sql: &str, count: u64) -> anyhow::Result<Vec<Self>> {
        let mut random = StdRng::seed_from_u64(11);
        let payloads = Arc::new(
            (0..PAYLOADS)
                .map(|_| payload(&mut random))
                .collect::<Vec<_>>(),
        );
        let writers = (0..count).map(async |number| {
            let client = run.session().await?;
            anyhow::Ok(Self {
                order: client
                    .prepare("INSERT INTO orders (customer, total) VALUES ($1, $2)")
                    .await?,
                publish: client.prepare(publish_sql).await?,
                client,
                payloads: payloads.clone(),
                random: StdRng::seed_from_u64(number),
            })
        });
        try_join_all(writers).await
    }

    /// Commits one transaction; returns the event's id.
    pub async fn write(&mut self) -> anyhow::Result<Uuid> {
        let id = Uuid::now_v7();
        let key = format!("order-{}", self.random.random_range(0..KEYS));
        let payload = &self.payloads[self.random.random_range(0..PAYLOADS)];
        let transaction = self.client.transaction().await?;
        transaction.execute(&self.order, &[&key, &1_i64]).await?;
        transaction
            .execute(
                &self.publish,
                &[&id, &TOPIC, &key, &"bench.event.v1", payload],
            )
            .await?;
        transaction.commit().await?;
        Ok(id)
    }
}

/// Lets every writer write as fast as it can, for `time`; returns how long each transaction took,
/// in milliseconds.
pub async fn flat_out(writers: &mut [Writer], time: Duration) -> anyhow::Result<Vec<f64>> {
    let end = Instant::now() + time;
    let all = writers.iter_mut().map(async |writer| {
        let mut took = Vec::new();
        while Instant::now() < end {
            let began = Instant::now();
            writer.write().await?;
            took.push(began.elapsed().as_secs_f64() * 1e3);
        }
        anyhow::Ok(took)
    });
    Ok(try_join_all(all).await?.concat())
}

/// Commits `rate` transactions a second at even intervals; returns when each event was committed,
/// in microseconds of the clock.
pub async fn paced(
    kind: Kind,
    run: &Run,
    rate: u32,
    time: Duration,
) -> anyhow::Result<HashMap<Uuid, i64>> {
    const WRITERS: u32 = 12;
    let writers = Writer::several(run, &kind.publish_sql(), WRITERS.into()).await?;
    let clock = Clock::system();
    let between = Duration::from_secs(1) * WRITERS / rate;
    let began = tokio::time::Instant::now() + Duration::from_millis(100);
    let tasks = writers
        .into_iter()
        .zip(0_u32..)
        .map(|(mut writer, number)| {
            let clock = clock.clone();
            tokio::spawn(async move {
                let mut committed = Vec::new();
                let mut pace =
                    tokio::time::interval_at(began + between * number / WRITERS, between);
                while began.elapsed() < time {
                    pace.tick().await;
                    let id = writer.write().await?;
                    committed.push((id, clock.now().timestamp_micros()));
                }
                anyhow::Ok(committed)
            })
        });
    let mut all = HashMap::new();
    for task in tasks.collect::<Vec<_>>() {
        all.extend(task.await??);
    }
    Ok(all)
}
