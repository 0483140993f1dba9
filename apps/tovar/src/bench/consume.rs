//! A consumer with the project's inbox and a real handler.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::bail;
use db::{Db, DbError, DbSettings, Tx, cached};
use diesel::{
    sql_query,
    sql_types::{BigInt, Text},
};
use diesel_async::RunQueryDsl;
use inbox::{Delivery, InboxSettings, Metrics, Running, Subscriptions};
use kernel::{Clock, Event};
use outbox::PublishError;
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::outbox::rig::{Run, TOPIC};

/// The fields of the benchmark's events that its consumer reads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Placed {
    order_id: Uuid,
    customer_id: Uuid,
}

impl Event for Placed {
    const TYPE: &'static str = "bench.event.v1";
    const TOPIC: &'static str = TOPIC;
    fn key(&self) -> String {
        self.order_id.to_string()
    }
}

/// The event that a consumer publishes for each event that it applied.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Counted {
    order_id: Uuid,
}

impl Event for Counted {
    const TYPE: &'static str = "bench.counted.v1";
    const TOPIC: &'static str = "bench.counts";
    fn key(&self) -> String {
        self.order_id.to_string()
    }
}

/// When each event was applied, in microseconds of the clock.
type Applied = Arc<Mutex<HashMap<Uuid, i64>>>;

#[derive(Clone)]
pub struct State {
    applied: Applied,
    clock: Clock,
}

async fn count(tx: &mut Tx<'_>, state: &State, id: Uuid, placed: &Placed) -> Result<(), DbError> {
    // A customer's row: the cost of a domain's own change.
    let customer = placed.customer_id.to_string();
    let query = sql_query(
        "INSERT INTO customers (id, orders) VALUES ($1, $2) ON CONFLICT (id) DO \
         UPDATE SET orders = customers.orders + 1",
    )
    .bind::<Text, _>(&customer[..4])
    .bind::<BigInt, _>(1);
    cached(query).execute(&mut **tx).await?;
    let state = state.clone();
    tx.when_committed(move || {
        let now = state.clock.now().timestamp_micros();
        state
            .applied
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, now);
    });
    Ok(())
}

async fn apply(tx: &mut Tx<'_>, state: &State, placed: Delivery<Placed>) -> Result<(), DbError> {
    count(tx, state, placed.id, &placed.event).await
}

async fn apply_and_publish(
    tx: &mut Tx<'_>,
    state: &State,
    placed: Delivery<Placed>,
) -> Result<(), PublishError> {
    count(tx, state, placed.id, &placed.event).await?;
    let order_id = placed.event.order_id;
    outbox::publish(tx, &Counted { order_id })?;
    Ok(())
}

/// Subscribes a handler that changes a row of the domain.
pub fn applied() -> Subscriptions<State> {
    Subscriptions::group("bench").on(apply)
}

/// Subscribes a handler that changes a row of the domain and publishes an event.
pub fn applied_and_published() -> Subscriptions<State> {
    Subscriptions::group("bench").on(apply_and_publish)
}

/// A consumer that runs.
pub struct Consumption {
    running: Running,
    applied: Applied,
}

impl Consumption {
    pub async fn start(run: &Run, subscriptions: Subscriptions<State>) -> anyhow::Result<Self> {
        run.client
            .batch_execute(
                "CREATE TABLE IF NOT EXISTS customers (id text PRIMARY KEY, orders bigint NOT \
                 NULL)",
            )
            .await?;
        let db = Db::open(&DbSettings::new(&run.url), "bench").await?;
        outbox::declare_topics(&db, &[Counted::TOPIC]).await?;
        let applied = Applied::default();
        let state = State {
            applied: applied.clone(),
            clock: Clock::system(),
        };
        let metrics = Metrics::register(&mut Registry::default());
        let running = inbox::start(
            subscriptions,
            state,
            db,
            &run.kafka,
            &InboxSettings::default(),
            metrics,
        )
        .await?;
        Ok(Self { running, applied })
    }

    pub fn count(&self) -> usize {
        self.applied
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Waits until `count` events are applied.
    pub async fn until(&self, count: usize, within: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.count() < count {
            if began.elapsed() > within {
                bail!(
                    "{} of {count} events were applied within {} s",
                    self.count(),
                    within.as_secs()
                );
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Stops the consumer; returns when each event was applied.
    pub async fn stop(self) -> HashMap<Uuid, i64> {
        self.running.stop().await;
        std::mem::take(&mut *self.applied.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
