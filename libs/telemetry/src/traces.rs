//! Trace spans. They are exported over OTLP if an endpoint is set; without one they cost nothing.
//!
//! The exporter speaks OTLP/HTTP with JSON (opentelemetry.io/docs/specs/otlp). It is our own code:
//! a span's ids are those of the `traceparent` that travels through outbox row and Kafka header,
//! and a relay of a few megabytes has no memory for a gRPC stack.

mod current;
mod otlp;
mod span;

use std::{fmt, sync::atomic::Ordering, time::Duration};

use hyper::Uri;
use prometheus_client::{
    collector::Collector, encoding::DescriptorEncoder, metrics::counter::ConstCounter,
};
use tokio::sync::{mpsc, oneshot};

use self::span::{DROPPED, EXPORTED, JOBS, Job};
pub use self::{
    current::{current, scope},
    span::{Kind, Span},
};
use crate::shown::show;

#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Traces")]
pub struct TraceSettings {
    /// Base address of a collector that takes OTLP over HTTP, such as http://localhost:4318;
    /// without it no spans are exported
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<Uri>,
}

/// Spans that may wait for the collector. Further spans are dropped and counted: no work waits for
/// its own trace.
const QUEUE_MAX_SPANS: usize = 10_000;
/// How long [`flush`] waits for the collector, so that a process ends without it.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Starts the export of spans on the runtime that calls this, if an endpoint is set. Further calls
/// in a process change nothing.
pub fn export(settings: &TraceSettings) {
    let Some(endpoint) = &settings.otlp_endpoint else {
        return;
    };
    let (sender, jobs) = mpsc::channel(QUEUE_MAX_SPANS);
    if JOBS.set(sender).is_ok() {
        tokio::spawn(otlp::run(endpoint.clone(), jobs));
    }
}

/// Waits until the spans that have ended so far are exported, for at most [`FLUSH_TIMEOUT`]. For
/// the end of a process.
pub async fn flush() {
    if let Some(jobs) = JOBS.get() {
        let (done, flushed) = oneshot::channel();
        let flush = async {
            if jobs.send(Job::Flush(done)).await.is_ok() {
                // An error means that the exporter has ended: there is nothing to wait for.
                let _ = flushed.await;
            }
        };
        let _ = tokio::time::timeout(FLUSH_TIMEOUT, flush).await;
    }
}

/// Shows how many of this process's spans were exported and dropped.
#[derive(Debug)]
pub(crate) struct Exported;

impl Collector for Exported {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let exported = ConstCounter::new(EXPORTED.load(Ordering::Relaxed));
        let help = "Trace spans that a collector took";
        show(&mut encoder, "trace_spans_exported", help, None, &exported)?;
        let dropped = ConstCounter::new(DROPPED.load(Ordering::Relaxed));
        let help = "Trace spans that were given up: the collector was too slow or away";
        show(&mut encoder, "trace_spans_dropped", help, None, &dropped)
    }
}
