//! The security log: who did what, and who was refused. An act leaves a row in its own transaction,
//! a line, and a count; a refusal a line and a count.

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

use crate::{
    Role,
    http::{limit::network, methods, problem::status_of},
};

/// What an act or a refusal is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    LogIn,
    Registration,
    Password,
    Role,
    /// An account that is suspended, or active again.
    Status,
    /// Sessions that their owner ended.
    Session,
    Deletion,
    /// What a manager did, or was shown of others.
    Manager,
    /// What a courier did, or was shown of others.
    Courier,
    /// An account to which log-ins fail again and again.
    Guessing,
    /// A refusal that is none of the others.
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

    /// What people of this role do to what is not their own; a customer does nothing of the kind.
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

    /// What an answer refuses, if it is a refusal that the log tells of.
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
struct Told {
    kind: &'static str,
    outcome: &'static str,
}

telemetry::metrics! {
    struct SecurityMetrics {
        /// Acts and refusals that the security log tells of, by kind and outcome
        events: Family<Told, Counter> = "security_events";
    }
}

/// One entry.
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
    /// For the lines of refusals, of which a stranger can cause any number.
    lines: DefaultDirectRateLimiter,
    left_out: AtomicU64,
}

/// Lines of refusals that a process writes in a second in the long run, and at once. The others are
/// only counted.
const LINES_PER_SECOND: NonZeroU32 = NonZeroU32::new(20).expect("20 is not 0");
const LINES_AT_ONCE: NonZeroU32 = NonZeroU32::new(200).expect("200 is not 0");
/// Characters of what a path names that are shown.
const LONGEST: usize = 100;

impl SecurityLog {
    /// Every count shows with zero, so that the first event is an increase.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = SecurityMetrics::registered(registry);
        for kind in Kind::ALL {
            for outcome in Outcome::ALL {
                metrics.events.get_or_create_owned(&Told::of(kind, outcome));
            }
        }
        let quota = Quota::per_second(LINES_PER_SECOND).allow_burst(LINES_AT_ONCE);
        Self(Arc::new(Inner {
            metrics,
            lines: RateLimiter::direct(quota),
            left_out: AtomicU64::new(0),
        }))
    }

    /// For what happens without a request: which part of the store does it, and what.
    pub fn trail(&self, kind: Kind, who: &str, what: &str) -> Trail {
        let entry = Entry {
            kind,
            who: Some(who.to_owned()),
            what: what.to_owned(),
            whom: None,
            network: None,
            trace_id: TraceParent::current().map(TraceParent::trace_id),
            outcome: Outcome::Done,
            reason: None,
        };
        Trail {
            log: self.clone(),
            entry,
            shown: Shown::default(),
        }
    }

    /// For what a request does.
    pub(crate) fn trail_of(&self, request: &HttpRequest, kind: Kind) -> Trail {
        let trace_id = TraceParent::current().map(TraceParent::trace_id);
        let shown = Shown::of(request);
        shown.parts().kind = Some(kind);
        Trail {
            log: self.clone(),
            entry: entry(request, &shown, trace_id, Outcome::Done),
            shown,
        }
    }

    /// Tells that a request was refused, and why.
    pub(crate) fn refused(
        &self,
        request: &HttpRequest,
        trace: TraceParent,
        outcome: Outcome,
        reason: Option<&'static str>,
    ) {
        let shown = Shown::of(request);
        let entry = Entry {
            reason,
            ..entry(request, &shown, Some(trace.trace_id()), outcome)
        };
        self.count(&entry);
        if self.0.lines.check().is_err() {
            self.0.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        entry.write_line(self.0.left_out.swap(0, Ordering::Relaxed));
    }

    fn count(&self, entry: &Entry) {
        let told = Told::of(entry.kind, entry.outcome);
        self.0.metrics.events.get_or_create_owned(&told).inc();
    }
}

impl Told {
    const fn of(kind: Kind, outcome: Outcome) -> Self {
        Self {
            kind: kind.as_str(),
            outcome: outcome.as_str(),
        }
    }
}

fn entry(
    request: &HttpRequest,
    shown: &Shown,
    trace_id: Option<String>,
    outcome: Outcome,
) -> Entry {
    let method = methods::label(request.method());
    let route = request.match_pattern().unwrap_or_else(|| "none".to_owned());
    let parts = shown.parts();
    let named = || {
        let named: Vec<&str> = request
            .match_info()
            .iter()
            .map(|(_, value)| value)
            .collect();
        (!named.is_empty()).then(|| kernel::shown(named.join(" ").as_bytes(), LONGEST))
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
    /// `left_out` is how many refusals before this one had no line.
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

/// What a request has shown of itself so far, for the log of its refusal.
#[derive(Clone, Default)]
pub(crate) struct Shown(Arc<Mutex<Parts>>);

#[derive(Default)]
struct Parts {
    who: Option<UserId>,
    kind: Option<Kind>,
    whom: Option<String>,
}

impl Shown {
    /// That of a request, which is made when it is first asked for.
    fn of(request: &HttpRequest) -> Self {
        let mut extensions = request.extensions_mut();
        if let Some(shown) = extensions.get::<Self>() {
            return shown.clone();
        }
        let shown = Self::default();
        extensions.insert(shown.clone());
        shown
    }

    /// What it does is of this kind.
    pub(crate) fn of_kind(request: &HttpRequest, kind: Kind) {
        Self::of(request).parts().kind = Some(kind);
    }

    /// Who sent it has proved who they are.
    pub(crate) fn sent_by(request: &HttpRequest, who: UserId) {
        Self::of(request).parts().who = Some(who);
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the security log tells of one act; it goes with the act to the transaction that stores it.
#[derive(Clone)]
pub struct Trail {
    log: SecurityLog,
    entry: Entry,
    shown: Shown,
}

impl Trail {
    /// Who did it, once that is known.
    #[must_use]
    pub fn by(mut self, who: impl Display) -> Self {
        self.entry.who = Some(who.to_string());
        self
    }

    /// The person or thing that it was about.
    #[must_use]
    pub fn about(mut self, whom: impl Display) -> Self {
        self.entry.whom = Some(whom.to_string());
        self.shown.parts().whom.clone_from(&self.entry.whom);
        self
    }

    /// It is done if this transaction commits.
    pub fn done(&self, tx: &mut Tx<'_>) {
        self.tell(tx, self.entry.clone());
    }

    /// It is refused because of `error`. The line and the count come with the answer, as those of
    /// every refusal.
    pub fn refused(&self, tx: &mut Tx<'_>, error: &impl Classify) {
        tx.deferred::<Rows>().0.push(self.refusal(error));
    }

    /// The refusals of an account's log-ins are so many that its password may be being guessed.
    pub fn guessed(&self, tx: &mut Tx<'_>, error: &impl Classify) {
        let entry = Entry {
            kind: Kind::Guessing,
            ..self.refusal(error)
        };
        self.tell(tx, entry);
    }

    fn refusal(&self, error: &impl Classify) -> Entry {
        Entry {
            outcome: Outcome::of(status_of(error.class())).unwrap_or(Outcome::Denied),
            reason: Some(error.code()),
            ..self.entry.clone()
        }
    }

    fn tell(&self, tx: &mut Tx<'_>, entry: Entry) {
        tx.deferred::<Rows>().0.push(entry.clone());
        let log = self.log.clone();
        tx.when_committed(move || {
            log.count(&entry);
            entry.write_line(0);
        });
    }
}

/// The entries of a transaction, until it commits.
#[derive(Default)]
struct Rows(Vec<Entry>);

impl DeferredWrite for Rows {
    fn write(self: Box<Self>, conn: &mut AsyncPgConnection) -> BoxFuture<'_, Result<(), DbError>> {
        let texts = |of: fn(&Entry) -> Option<String>| -> Vec<Option<String>> {
            self.0.iter().map(of).collect()
        };
        let query = sql_query(
            "INSERT INTO security_events (kind, who, what, whom, network, trace_id, outcome, reason)
             SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind::<Array<Nullable<Text>>, _>(texts(|entry| Some(entry.kind.as_str().to_owned())))
        .bind::<Array<Nullable<Text>>, _>(texts(|entry| entry.who.clone()))
        .bind::<Array<Nullable<Text>>, _>(texts(|entry| Some(entry.what.clone())))
        .bind::<Array<Nullable<Text>>, _>(texts(|entry| entry.whom.clone()))
        .bind::<Array<Nullable<Text>>, _>(texts(|entry| entry.network.map(|network| network.to_string())))
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

/// Forgets entries that are older than `days`, a little at a time, until it is dropped.
pub(crate) async fn forget_old(db: Db, days: u16) {
    const BATCH: i32 = 10_000;
    const EVERY: Duration = Duration::from_hours(1);
    loop {
        let forgotten = db
            .transaction(
                "kit.forget_security_events",
                async |tx| -> Result<i64, DbError> {
                    let query = sql_query("SELECT security_events_forget($1, $2) AS count")
                        .bind::<Integer, _>(i32::from(days))
                        .bind::<Integer, _>(BATCH);
                    let forgotten: Forgotten = query.get_result(&mut **tx).await?;
                    Ok(forgotten.count)
                },
            )
            .await;
        match forgotten {
            Ok(full) if full == i64::from(BATCH) => {}
            Ok(_) => tokio::time::sleep(EVERY).await,
            Err(error) => {
                tracing::warn!(
                    error = cause_chain(&error),
                    "old security events not forgotten"
                );
                tokio::time::sleep(Duration::from_secs(60)).await;
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
        Shown::sent_by(&request, who);
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
