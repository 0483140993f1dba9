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

use crate::{RelaySettings, error::RelayError, metrics::RelayMetrics, relay};

/// A relay that was started. Dropping it ends the relay at once, as a crash would.
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
        // The relay keeps its grace period itself; this limit is for a connection that hangs.
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

    /// Waits until the relay ends by itself, for a cause that only an operator can remove.
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        Ok((&mut self.task).await.context("the relay panicked")??)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Relays until stopped, without health checks and metrics. A future that is dropped ends the relay
/// at once, as a crash would.
pub async fn run(settings: RelaySettings, stop: CancellationToken) -> anyhow::Result<()> {
    let metrics = RelayMetrics::registered(&mut Registry::default());
    Ok(relay::run(settings, metrics, stop).await?)
}

/// Starts a relay, with health checks and metrics, on the runtime that calls this.
pub async fn start(settings: RelaySettings) -> anyhow::Result<Running> {
    settings.postgres.check()?;
    settings.kafka.check()?;
    telemetry::traces::export(&settings.traces);
    let mut registry = telemetry::registry("relay", settings.service());
    let metrics = RelayMetrics::registered(registry.sub_registry_with_prefix("relay"));
    // A standby, and a leader that waits for a broker, are healthy: they do what they can.
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
