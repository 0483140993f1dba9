//! Trace spans, exported over OTLP where an endpoint is set; without one they cost nothing.
//!
//! OTLP/HTTP with JSON (opentelemetry.io/docs/specs/otlp), written here: a span's ids are those of
//! the `traceparent` that travels through outbox row and Kafka header, and a relay of a few
//! megabytes has no room for a gRPC stack.

mod otlp;

use std::{
    borrow::Cow,
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use hyper::Uri;
use kernel::TraceParent;
use prometheus_client::{
    collector::Collector, encoding::DescriptorEncoder, metrics::counter::ConstCounter,
};
use tokio::sync::{mpsc, oneshot};

use crate::show;

#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Traces")]
pub struct TraceSettings {
    /// Base address of a collector that takes OTLP over HTTP, such as http://localhost:4318;
    /// without it no spans are exported
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<Uri>,
}

/// Spans that may wait for the collector. What does not fit is dropped and counted: no work waits
/// for its own trace.
const QUEUE: usize = 10_000;

static EXPORT: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
static EXPORTED: AtomicU64 = AtomicU64::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);

enum Job {
    Export(Box<Finished>),
    Flush(oneshot::Sender<()>),
}

/// Exports from now on, on the runtime that calls this, if an endpoint is set. The first call in a
/// process wins.
pub fn export(settings: &TraceSettings) {
    let Some(endpoint) = &settings.otlp_endpoint else {
        return;
    };
    let (sender, jobs) = mpsc::channel(QUEUE);
    if EXPORT.set(sender).is_ok() {
        tokio::spawn(otlp::run(endpoint.clone(), jobs));
    }
}

/// Waits until what has ended by now is exported, for at most two seconds. For the end of a
/// process.
pub async fn flush() {
    if let Some(export) = EXPORT.get() {
        let (done, flushed) = oneshot::channel();
        let flush = async {
            if export.send(Job::Flush(done)).await.is_ok() {
                // Either way it is over.
                let _ = flushed.await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(2), flush).await;
    }
}

/// What a span is in its trace, as OpenTelemetry numbers it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Server = 2,
    Client = 3,
    Producer = 4,
    Consumer = 5,
}

/// A piece of work that has begun. Nothing is exported until it ends; what is dropped was not worth
/// a span.
#[must_use]
#[derive(Debug)]
pub struct Span(Option<Box<Finished>>);

/// A span as it is exported.
#[derive(Debug)]
struct Finished {
    service: Cow<'static, str>,
    name: String,
    kind: Kind,
    own: TraceParent,
    parent: Option<TraceParent>,
    link: Option<TraceParent>,
    began: SystemTime,
    ended: SystemTime,
    attributes: Vec<(&'static str, String)>,
    failure: Option<String>,
}

impl Span {
    /// `service` begins the step `own` of a trace, under `parent`. It is nothing if spans are not
    /// exported, or this trace is not wanted; then `name` is not made up either.
    pub fn begin(
        service: impl Into<Cow<'static, str>>,
        kind: Kind,
        own: TraceParent,
        parent: Option<TraceParent>,
        name: impl FnOnce() -> String,
    ) -> Self {
        if EXPORT.get().is_none() || !own.is_sampled() {
            return Self(None);
        }
        let now = SystemTime::now();
        Self(Some(Box::new(Finished {
            service: service.into(),
            name: name(),
            kind,
            own,
            parent,
            link: None,
            began: now,
            ended: now,
            attributes: Vec::new(),
            failure: None,
        })))
    }

    /// No span.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Notes something, named as OpenTelemetry's conventions name it.
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        if let Some(span) = &mut self.0 {
            span.attributes.push((name, value.to_string()));
        }
        self
    }

    /// Names the step that caused this one without waiting for it.
    pub fn linked(mut self, to: TraceParent) -> Self {
        if let Some(span) = &mut self.0 {
            span.link = Some(to);
        }
        self
    }

    pub fn end(self) {
        if let Some(mut span) = self.0
            && let Some(export) = EXPORT.get()
        {
            span.ended = SystemTime::now();
            if export.try_send(Job::Export(span)).is_err() {
                DROPPED.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub fn fail(mut self, why: impl fmt::Display) {
        if let Some(span) = &mut self.0 {
            span.failure = Some(why.to_string());
        }
        self.end();
    }
}

/// What became of this process's spans.
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
