//! The rates that no relay can exceed on this machine: Kafka's producer without a database, and the
//! reading of the log without Kafka.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use ::outbox::log::{Difference, Session};
use anyhow::ensure;
use connect::PostgresSettings;
use outbox_relay::{RelaySettings, producer_config};
use rand::{Rng, SeedableRng, rngs::StdRng};
use rdkafka::{
    ClientContext,
    config::FromClientConfigAndContext,
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext},
};
use uuid::Uuid;

use super::{
    fill::fill,
    payload::payload,
    relay::{Kind, full_topic},
    rig::{Rig, Run, SOURCE},
};
use crate::bench::report::BenchReport;

/// (5): measures both ceilings, with as many events as the drain.
pub async fn measure(rig: &Rig, events: usize, report: &mut BenchReport) -> anyhow::Result<()> {
    let part = "ceilings";
    let run = rig.run().await?;
    fill(&run, Kind::Tovar, events).await?;
    let rate = read(&run, events).await?;
    report.number(part, "reading the log, and nothing else", "events/s", rate);
    let rate = from_memory(rig, events).await?;
    report.number(part, "the relay's producer, from memory", "events/s", rate);
    Ok(())
}

/// Sends messages from memory as the relay's producer does; returns how many a second.
pub async fn from_memory(rig: &Rig, messages: usize) -> anyhow::Result<f64> {
    let run = rig.run().await?;
    tokio::task::spawn_blocking(move || produce(&run, messages)).await?
}

/// Reads the log page by page, as the relay does.
async fn read(run: &Run, events: usize) -> anyhow::Result<f64> {
    let session = Session::open(&PostgresSettings::new(&run.url), "bench").await?;
    let (cursor, _) = session.load_cursor().await?;
    let settings = settings(run);
    let began = Instant::now();
    let mut portion = settings.page_size();
    let Difference::Large { now, mut before } = session
        .read_difference(&cursor.acknowledged, &mut portion)
        .await?
    else {
        anyhow::bail!("the backlog is smaller than a page");
    };
    let mut read = 0;
    loop {
        let records = session
            .read_page(&cursor.acknowledged, &now, before, &mut portion)
            .await?;
        let Some(last) = records.last() else { break };
        before = last.position();
        read += records.len();
    }
    ensure!(read == events, "{read} of {events} events were read");
    Ok(events as f64 / began.elapsed().as_secs_f64())
}

fn settings(run: &Run) -> RelaySettings {
    RelaySettings::new(SOURCE, PostgresSettings::new(&run.url), run.kafka.clone())
}

#[derive(Default)]
struct Delivered {
    yes: AtomicU64,
    no: AtomicU64,
}

impl ClientContext for Delivered {}
impl ProducerContext for Delivered {
    type DeliveryOpaque = ();
    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let counter = if result.is_ok() { &self.yes } else { &self.no };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Sends with the settings and headers of the relay, but with payloads that are in memory.
fn produce(run: &Run, events: usize) -> anyhow::Result<f64> {
    let mut random = StdRng::seed_from_u64(3);
    let payloads: Vec<String> = (0..5_000).map(|_| payload(&mut random)).collect();
    let topic = full_topic(run);
    let producer: BaseProducer<Delivered> = BaseProducer::from_config_and_context(
        &producer_config(&settings(run)),
        Delivered::default(),
    )?;
    producer
        .client()
        .fetch_metadata(Some(&topic), Duration::from_secs(10))?;
    let began = Instant::now();
    for _ in 0..events {
        let id = Uuid::now_v7().to_string();
        let key = format!("order-{}", random.random_range(0..20_000));
        let header = |key, value| Header {
            key,
            value: Some(value),
        };
        let headers = OwnedHeaders::new_with_capacity(8)
            .insert(header("ce_specversion", "1.0"))
            .insert(header("ce_id", id.as_str()))
            .insert(header("ce_type", "bench.event.v1"))
            .insert(header("ce_source", SOURCE))
            .insert(header("ce_subject", key.as_str()))
            .insert(header("ce_time", "2026-01-01T00:00:00.000000Z"))
            .insert(header("content-type", "application/json"));
        let payload = &payloads[random.random_range(0..payloads.len())];
        let mut next = BaseRecord::to(&topic)
            .key(&key)
            .payload(payload)
            .headers(headers);
        loop {
            match producer.send(next) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), same)) => {
                    next = same;
                    std::thread::sleep(Duration::from_millis(1));
                    producer.poll(Duration::ZERO);
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
        producer.poll(Duration::ZERO);
    }
    producer.flush(Duration::from_secs(120))?;
    let seconds = began.elapsed().as_secs_f64();
    let delivered = producer.context();
    let (yes, no) = (
        delivered.yes.load(Ordering::Relaxed),
        delivered.no.load(Ordering::Relaxed),
    );
    ensure!(
        yes == events as u64 && no == 0,
        "{yes} of {events} were delivered, {no} refused"
    );
    Ok(events as f64 / seconds)
}
