//! The security log: which user did what, and whose request was refused. An act leaves a row in its
//! own transaction, a log line and a count; a refusal leaves a line and a count.

use std::{
    fmt::Display,
    net::IpAddr,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix_web::{HttpMessage, HttpRequest, http::StatusCode};
use db::{Db, DbError, DeferredWrite, Tx, cached};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{Array, BigInt, Integer, Nullable, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::{FutureExt, future::BoxFuture};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use kernel::{Classify, TraceParent, UserId, cause_chain};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use telemetry::traces;

use crate::{
    Role,
    http::{limit::network, methods, problem::status_of},
};

/// The kind of an act or a refusal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    LogIn,
    Registration,
    Password,
    Role,
    /// A manager suspended an account, or let it in again.
    Status,
    /// An owner ended sessions of theirs.
    Session,
    Deletion,
    /// A manager acted, or read data of others.
    Manager,
    /// A courier acted, or read data of others.
    Courier,
    /// Log-ins to one account fail again and again.
    Guessing,
    /// Any other refusal.
    Access,
}

impl Kind {
    const ALL: [Self; 11] = [
        Self::LogIn,
        Self::Registration,
        Self::Password,
        Self::Role,
        Self::Status,
        Self::Session,
        Self::Deletion,
        Self::Manager,
        Self::Courier,
        Self::Guessing,
        Self::Access,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::LogIn => "log_in",
            Self::Registration => "registration",
            Self::Password => "password",
            Self::Role => "role",
            Self::Status => "status",
            Self::Session => "session",
            Self::Deletion => "deletion",
            Self::Manager => "manager",
            Self::Courier => "courier",
            Self::Guessing => "guessing",
            Self::Access => "access",
        }
    }

    /// The kind of what people of this role do to the data of others; a customer does nothing of
    /// the kind.
    pub(crate) const fn of_role(role: Role) -> Option<Self> {
        match role {
            Role::Manager => Some(Self::Manager),
            Role::Courier => Some(Self::Courier),
            Role::Customer => None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Outcome {
    Done,
    Unauthenticated,
    Denied,
    Limited,
}

impl Outcome {
    const ALL: [Self; 4] = [
        Self::Done,
        Self::Unauthenticated,
        Self::Denied,
        Self::Limited,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Unauthenticated => "unauthenticated",
            Self::Denied => "denied",
            Self::Limited => "limited",
        }
    }

    /// The outcome of a request with this status, if the log records it.
    pub(crate) fn of(status: StatusCode) -> Option<Self> {
        match status {
            StatusCode::UNAUTHORIZED => Some(Self::Unauthenticated),
            StatusCode::FORBIDDEN => Some(Self::Denied),
            StatusCode::TOO_MANY_REQUESTS => Some(Self::Limited),
            _ => None,
        }
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct EventLabels {
    kind: &'static str,
    outcome: &'static str,
}

telemetry::metrics! {
    struct SecurityMetrics {
        /// Acts and refusals that the security log tells of, by kind and outcome
        events: Family<EventLabels, Counter> = "security_events";
    }
}

/// One entry of the security log.
#[derive(Clone, Debug)]
struct Entry {
    kind: Kind,
    who: Option<String>,
    what: String,
    whom: Option<String>,
    network: Option<IpAddr>,
    trace_id: Option<String>,
    outcome: Outcome,
    reason: Option<&'static str>,
}

/// A service's security log.
#[derive(Clone)]
pub struct SecurityLog(Arc<Inner>);

struct Inner {
    metrics: SecurityMetrics,
    /// Limits the lines of refusals, because a stranger can cause any number of them.
    lines: DefaultDirectRateLimiter,
    left_out: AtomicU64,
}

/// Lines of refusals that a process writes in a second in the long run, and in a burst. Further
/// refusals are only counted, so that a flood does not fill the log.
const LINES_PER_SECOND: NonZeroU32 = NonZeroU32::new(20).expect("20 is not 0");
const LINES_PER_BURST: NonZeroU32 = NonZeroU32::new(200).expect("200 is not 0");
/// Characters that an entry shows at most of the names in a path.
const NAMED_MAX_CHARS: usize = 100;

impl SecurityLog {
    /// Registers every count with zero, so that the first event is an increase.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = SecurityMetrics::registered(registry);
        for kind in Kind::ALL {
            for outcome in Outcome::ALL {
                metrics
                    .events
                    .get_or_create_owned(&EventLabels::of(kind, outcome));
            }
        }
        let quota = Quota::per_second(LINES_PER_SECOND).allow_burst(LINES_PER_BURST);
        Self(Arc::new(Inner {
            metrics,
            lines: RateLimiter::direct(quota),
            left_out: AtomicU64::new(0),
        }))
    }

    /// An entry for an act without a request: `who` is the part of the store that acts.
    pub fn trail(&self, kind: Kind, who: &str, what: &str) -> Trail {
        let entry = Entry {
            kind,
            who: Some(who.to_owned()),
            what: what.to_owned(),
            whom: None,
            network: None,
            trace_id: traces::current().map(TraceParent::trace_id),
            outcome: Outcome::Done,
            reason: None,
        };
        Trail {
            log: self.clone(),
            entry,
            facts: RequestFacts::default(),
        }
    }

    /// An entry for the act of a request.
    pub(crate) fn trail_of(&self, request: &HttpRequest, kind: Kind) -> Trail {
        let trace_id = traces::current().map(TraceParent::trace_id);
        let facts = RequestFacts::of(request);
        facts.parts().kind = Some(kind);
        Trail {
            log: self.clone(),
            entry: entry(request, &facts, trace_id, Outcome::Done),
            facts,
        }
    }

    /// Records that a request was refused, and why.
    pub(crate) fn refused(
        &self,
        request: &HttpRequest,
        trace: TraceParent,
        outcome: Outcome,
        reason: Option<&'static str>,
    ) {
        let facts = RequestFacts::of(request);
        let entry = Entry {
            reason,
            ..entry(request, &facts, Some(trace.trace_id()), outcome)
        };
        self.count(&entry);
        if self.0.lines.check().is_err() {
            self.0.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        entry.write_line(self.0.left_out.swap(0, Ordering::Relaxed));
    }

    fn count(&self, entry: &Entry) {
        let labels = EventLabels::of(entry.kind, entry.outcome);
        self.0.metrics.events.get_or_create_owned(&labels).inc();
    }
}

impl EventLabels {
    const fn of(kind: Kind, outcome: Outcome) -> Self {
        Self {
            kind: kind.as_str(),
            outcome: outcome.as_str(),
        }
    }
}

fn entry(
    request: &HttpRequest,
    facts: &RequestFacts,
    trace_id: Option<String>,
    outcome: Outcome,
) -> Entry {
    let method = methods::label(request.method());
    let route = request.match_pattern().unwrap_or_else(|| "none".to_owned());
    let parts = facts.parts();
    let named = || {
        let named: Vec<&str> = request
            .match_info()
            .iter()
            .map(|(_, value)| value)
            .collect();
        (!named.is_empty()).then(|| kernel::shown(named.join(" ").as_bytes(), NAMED_MAX_CHARS))
    };
    Entry {
        kind: parts.kind.unwrap_or(Kind::Access),
        who: parts.who.map(|who| who.to_string()),
        what: format!("{method} {route}"),
        whom: parts.whom.clone().or_else(named),
        network: network(request),
        trace_id,
        outcome,
        reason: None,
    }
}

impl Entry {
    /// Writes the log line. `left_out` refusals before this one had none.
    fn write_line(&self, left_out: u64) {
        tracing::info!(
            target: "security",
            kind = self.kind.as_str(),
            outcome = self.outcome.as_str(),
            who = self.who.as_deref(),
            what = self.what,
            whom = self.whom.as_deref(),
            network = self.network.map(tracing::field::display),
            reason = self.reason,
            trace_id = self.trace_id.as_deref(),
            left_out = (left_out > 0).then_some(left_out),
            "{}", if self.outcome == Outcome::Done { "an act" } else { "a refusal" },
        );
    }
}

/// What is known of a request so far, for the log of its refusal.
#[derive(Clone, Default)]
pub(crate) struct RequestFacts(Arc<Mutex<Parts>>);

#[derive(Default)]
struct Parts {
    who: Option<UserId>,
    kind: Option<Kind>,
    whom: Option<String>,
}

impl RequestFacts {
    /// The facts of a request; the first call makes them.
    fn of(request: &HttpRequest) -> Self {
        let mut extensions = request.extensions_mut();
        if let Some(facts) = extensions.get::<Self>() {
            return facts.clone();
        }
        let facts = Self::default();
        extensions.insert(facts.clone());
        facts
    }

    /// Notes the kind of what the request does.
    pub(crate) fn of_kind(request: &HttpRequest, kind: Kind) {
        Self::of(request).parts().kind = Some(kind);
    }

    /// Notes the user whose token came with the request.
    pub(crate) fn sent_by(request: &HttpRequest, who: UserId) {
        Self::of(request).parts().who = Some(who);
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The security log's entry for one act. It is carried to the transaction that stores the act.
#[derive(Clone)]
pub struct Trail {
    log: SecurityLog,
    entry: Entry,
    facts: RequestFacts,
}

impl Trail {
    /// Sets the user who acts, once that is known.
    #[must_use]
    pub fn by(mut self, who: impl Display) -> Self {
        self.entry.who = Some(who.to_string());
        self
    }

    /// Sets the person or thing that the act is about.
    #[must_use]
    pub fn about(mut self, whom: impl Display) -> Self {
        self.entry.whom = Some(whom.to_string());
        self.facts.parts().whom.clone_from(&self.entry.whom);
        self
    }

    /// Records the act, if this transaction commits.
    pub fn done(&self, tx: &mut Tx<'_>) {
        self.record(tx, self.entry.clone());
    }

    /// Adds a row that the act was refused because of `error`. The line and the count come with the
    /// answer, as for every refusal.
    pub fn refused(&self, tx: &mut Tx<'_>, error: &impl Classify) {
        tx.deferred::<PendingEntries>().0.push(self.refusal(error));
    }

    /// Records that so many log-ins to an account were refused that a stranger may be guessing its
    /// password.
    pub fn guessed(&self, tx: &mut Tx<'_>, error: &impl Classify) {
        let entry = Entry {
            kind: Kind::Guessing,
            ..self.refusal(error)
        };
        self.record(tx, entry);
    }

    fn refusal(&self, error: &impl Classify) -> Entry {
        Entry {
            outcome: Outcome::of(status_of(error.class())).unwrap_or(Outcome::Denied),
            reason: Some(error.code()),
            ..self.entry.clone()
        }
    }

    fn record(&self, tx: &mut Tx<'_>, entry: Entry) {
        tx.deferred::<PendingEntries>().0.push(entry.clone());
        let log = self.log.clone();
        tx.when_committed(move || {
            log.count(&entry);
            entry.write_line(0);
        });
    }
}

/// The entries of a transaction, which are written when it commits.
#[derive(Default)]
struct PendingEntries(Vec<Entry>);

impl DeferredWrite for PendingEntries {
    fn write(self: Box<Self>, conn: &mut AsyncPgConnection) -> BoxFuture<'_, Result<(), DbError>> {
        let texts = |of: fn(&Entry) -> Option<String>| -> Vec<Option<String>> {
            self.0.iter().map(of).collect()
        };
        let networks = texts(|entry| entry.network.as_ref().map(IpAddr::to_string));
        let query = sql_query(
            "INSERT INTO security_events
               (kind, who, what, whom, network, trace_id, outcome, reason)
             SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind::<Array<Nullable<Text>>, _>(texts(|entry| Some(entry.kind.as_str().to_owned())))
        .bind::<Array<Nullable<Text>>, _>(texts(|entry| entry.who.clone()))
        .bind::<Array<Nullable<Text>>, _>(texts(|entry| Some(entry.what.clone())))
        .bind::<Array<Nullable<Text>>, _>(texts(|entry| entry.whom.clone()))
        .bind::<Array<Nullable<Text>>, _>(networks)
        .bind::<Array<Nullable<Text>>, _>(texts(|entry| entry.trace_id.clone()))
        .bind::<Array<Nullable<Text>>, _>(texts(|entry| Some(entry.outcome.as_str().to_owned())))
        .bind::<Array<Nullable<Text>>, _>(texts(|entry| entry.reason.map(ToOwned::to_owned)));
        async move {
            cached(query).execute(conn).await?;
            Ok(())
        }
        .boxed()
    }
}

#[derive(QueryableByName)]
struct Forgotten {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Deletes entries that are older than `days`, in batches, until it is dropped.
pub(crate) async fn forget_old(db: Db, days: u16) {
    /// Entries that one transaction deletes at most, so that it holds its locks for a short time.
    const BATCH_MAX: i32 = 10_000;
    const INTERVAL: Duration = Duration::from_hours(1);
    const RETRY_DELAY: Duration = Duration::from_secs(60);
    loop {
        let forgotten = db
            .transaction(
                "kit.forget_security_events",
                async |tx| -> Result<i64, DbError> {
                    let query = sql_query("SELECT security_events_forget($1, $2) AS count")
                        .bind::<Integer, _>(i32::from(days))
                        .bind::<Integer, _>(BATCH_MAX);
                    let forgotten: Forgotten = query.get_result(&mut **tx).await?;
                    Ok(forgotten.count)
                },
            )
            .await;
        match forgotten {
            Ok(full) if full == i64::from(BATCH_MAX) => {}
            Ok(_) => tokio::time::sleep(INTERVAL).await,
            Err(error) => {
                tracing::warn!(
                    error = cause_chain(&error),
                    "old security events not forgotten"
                );
                tokio::time::sleep(RETRY_DELAY).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Mutex};

    use actix_web::test::TestRequest;
    use telemetry::{LogFormat, LogSettings};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn count(registry: &Registry, series: &str) -> u64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
        let line = text.lines().find(|line| line.contains(series)).unwrap();
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    }

    #[test]
    fn a_refusal_has_a_line_at_the_default_level_and_a_flood_of_them_only_counts() {
        let lines = Lines::default();
        let writer = lines.clone();
        let settings = LogSettings {
            log_format: LogFormat::Json,
            ..LogSettings::default()
        };
        telemetry::writing_to(&settings, move || writer.clone());
        let mut registry = Registry::default();
        let log = SecurityLog::register(&mut registry);
        let (who, trace) = (UserId::new(), TraceParent::root());
        let request = TestRequest::post()
            .append_header(("x-forwarded-for", "10.0.0.7"))
            .to_http_request();
        RequestFacts::sent_by(&request, who);
        log.refused(&request, trace, Outcome::Denied, Some("role_denied"));
        let line: serde_json::Value =
            serde_json::from_slice(&std::mem::take(&mut *lines.0.lock().unwrap())).unwrap();
        let wanted = [
            ("target", "security"),
            ("level", "INFO"),
            ("kind", "access"),
            ("outcome", "denied"),
            ("who", &who.to_string()),
            ("what", "POST none"),
            ("network", "10.0.0.7"),
            ("reason", "role_denied"),
            ("trace_id", &trace.trace_id()),
        ];
        for (field, value) in wanted {
            assert_eq!(line[field], value, "{field}");
        }

        for _ in 0..10_000 {
            log.refused(&request, trace, Outcome::Limited, Some("too_many_requests"));
        }
        let written = lines.0.lock().unwrap().split(|byte| *byte == b'\n').count();
        assert!(written < 300, "{written} lines");
        let series = "kind=\"access\",outcome=\"limited\"";
        assert_eq!(count(&registry, series), 10_000);
    }
}
