use std::{
    borrow::Cow,
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use kernel::TraceParent;
use tokio::sync::{mpsc, oneshot};

/// The queue of the exporter; unset until it is started.
pub(super) static JOBS: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
pub(super) static EXPORTED: AtomicU64 = AtomicU64::new(0);
pub(super) static DROPPED: AtomicU64 = AtomicU64::new(0);

/// What the exporter is asked to do.
pub(super) enum Job {
    Export(Box<FinishedSpan>),
    Flush(oneshot::Sender<()>),
}

/// The kind of a span, as OpenTelemetry numbers it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Server = 2,
    Client = 3,
    Producer = 4,
    Consumer = 5,
}

/// A piece of work that has begun. It is exported by [`Span::end`] or [`Span::fail`]; a span that
/// is dropped is not exported.
#[must_use]
#[derive(Debug)]
pub struct Span(Option<Box<FinishedSpan>>);

/// A span as it is exported.
#[derive(Debug)]
pub(super) struct FinishedSpan {
    pub service: Cow<'static, str>,
    pub name: String,
    pub kind: Kind,
    pub own: TraceParent,
    pub parent: Option<TraceParent>,
    pub link: Option<TraceParent>,
    pub began: SystemTime,
    pub ended: SystemTime,
    pub attributes: Vec<(&'static str, String)>,
    pub failure: Option<String>,
}

impl Span {
    /// Begins the span `own` of `service` under `parent`. If spans are not exported, or this trace
    /// is not sampled, the span is [`Span::none`] and `name` is not called.
    pub fn begin(
        service: impl Into<Cow<'static, str>>,
        kind: Kind,
        own: TraceParent,
        parent: Option<TraceParent>,
        name: impl FnOnce() -> String,
    ) -> Self {
        if JOBS.get().is_none() || !own.is_sampled() {
            return Self(None);
        }
        let now = SystemTime::now();
        Self(Some(Box::new(FinishedSpan {
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

    /// A span that is never exported.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Adds an attribute, named by OpenTelemetry's conventions.
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        if let Some(span) = &mut self.0 {
            span.attributes.push((name, value.to_string()));
        }
        self
    }

    /// Links to the span that caused this one and did not wait for it.
    pub fn linked(mut self, to: TraceParent) -> Self {
        if let Some(span) = &mut self.0 {
            span.link = Some(to);
        }
        self
    }

    pub fn end(self) {
        if let Some(mut span) = self.0
            && let Some(jobs) = JOBS.get()
        {
            span.ended = SystemTime::now();
            if jobs.try_send(Job::Export(span)).is_err() {
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
