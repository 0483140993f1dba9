//! The relay: reads a service's outbox and sends it to Kafka.
//!
//! One task reads the database and keeps the cursor; one thread feeds Kafka's producer. What the
//! reader knows of snapshots ends with its connection: a new one starts from the saved cursor.
//!
//! [`Progress`], [`Acks`] and [`Opening`] decide, without I/O, what to read next, what may be sent
//! and what may be saved: a model checker drives them, see docs/relay-model.md.

mod acks;
mod feeder;
mod maintain;
mod message;
mod metrics;
mod opening;
mod partitioner;
mod producer;
mod progress;
mod reader;
mod relay;
mod settings;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context;
use prometheus_client::registry::Registry;
use telemetry::{Ops, Readiness};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use acks::Acks;
pub use opening::{Opening, Place};
pub use producer::client_config as producer_config;
pub use progress::Progress;
pub use settings::{GoOnFrom, OnPromotion, RelaySettings};

use crate::{metrics::RelayMetrics, relay::RelayError};

/// A relay that was started.
pub struct Running {
    pub ops_address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Result<(), RelayError>>,
    drain: Duration,
    _ops: Ops,
}

impl Running {
    /// Sends what is committed by now, saves the cursor, and ends.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        // The relay keeps its grace period itself; this is for a connection that hangs.
        let limit = self.drain + Duration::from_secs(5);
        let Ok(ended) = tokio::time::timeout(limit, &mut self.task).await else {
            self.task.abort();
            anyhow::bail!(
                "the relay did not drain within {} s; the rest is sent at its next start",
                limit.as_secs()
            )
        };
        Ok(ended.context("the relay panicked")??)
    }

    /// Ends at once, as a crash would.
    pub fn kill(&self) {
        self.task.abort();
    }

    /// Waits until the relay ends by itself, which only an operator can mend.
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        Ok((&mut self.task).await.context("the relay panicked")??)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Relays until stopped, without health and metrics. Dropped, it ends at once, as a crash would end
/// it.
pub async fn run(settings: RelaySettings, stop: CancellationToken) -> anyhow::Result<()> {
    let metrics = RelayMetrics::registered(&mut Registry::default());
    Ok(relay::run(settings, metrics, stop).await?)
}

/// Starts on the runtime that calls this.
pub async fn start(settings: RelaySettings) -> anyhow::Result<Running> {
    settings.postgres.check()?;
    settings.kafka.check()?;
    telemetry::traces::export(&settings.traces);
    let mut registry = telemetry::registry("relay", settings.service());
    let metrics = RelayMetrics::registered(registry.sub_registry_with_prefix("relay"));
    // A relay that stands by or waits for a broker is well: it does what it can.
    let ready: Readiness = Arc::new(|| Box::pin(std::future::ready(Ok(()))));
    let ops = Ops::start(&settings.ops, Arc::new(Mutex::new(registry)), ready).await?;
    let stop = CancellationToken::new();
    let drain = Duration::from_secs(settings.drain_seconds);
    let task = tokio::spawn(relay::run(settings, metrics, stop.clone()));
    Ok(Running {
        ops_address: ops.address,
        stop,
        task,
        drain,
        _ops: ops,
    })
}
