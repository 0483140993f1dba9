//! The metrics that a service reads from its own database: values that no event in the process
//! changes, and values that must be known while another program, such as the relay, is down.

use std::time::{Duration, Instant};

use db::{Db, DbError, PostgresMetrics};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{BigInt, Text},
};
use diesel_async::RunQueryDsl;
use invariants::Check;
use kernel::cause_chain;
use outbox::OutboxMetrics;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
use telemetry::ReadingAge;
use tokio_util::sync::CancellationToken;

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Invariant {
    invariant: &'static str,
    what: &'static str,
}

telemetry::metrics! {
    /// The invariants of the service's own database.
    #[derive(Clone)]
    struct InvariantMetrics {
        /// Rows that contradict what must always hold, by invariant and by what such a row is
        violations: Family<Invariant, Gauge> = "invariant_violations";
    }
}

/// The readings of one service.
pub(crate) struct Readings {
    service: &'static str,
    db: Db,
    key_hours: u32,
    interval: Duration,
    outbox: OutboxMetrics,
    inbox: inbox::Metrics,
    postgres: PostgresMetrics,
    age: ReadingAge,
    invariants: InvariantMetrics,
    invariants_age: ReadingAge,
}

/// Pause after a check of the invariants, at least. They are sums over whole tables.
const CHECK_PAUSE_MIN: Duration = Duration::from_secs(30);
/// The pause is also this many times as long as the check took, so that checks cost at most a
/// twentieth of a core.
const CHECK_PAUSE_FACTOR: u32 = 20;

impl Readings {
    pub fn register(
        registry: &mut Registry,
        service: &'static str,
        db: &Db,
        key_hours: u32,
        interval: Duration,
        inbox: inbox::Metrics,
    ) -> Self {
        let readings = Self {
            service,
            db: db.clone(),
            key_hours,
            interval,
            outbox: OutboxMetrics::registered(registry),
            inbox,
            postgres: PostgresMetrics::register(registry),
            age: ReadingAge::registered(
                registry,
                "readings_age",
                "Time since the service last read its database for these metrics: what it read is \
                 that old",
            ),
            invariants: InvariantMetrics::registered(registry),
            invariants_age: ReadingAge::registered(
                registry,
                "invariants_age",
                "Time since the service last looked for contradictions in its database",
            ),
        };
        for (invariant, check) in invariants::of(service) {
            readings.violations(invariant, check, 0);
        }
        readings
    }

    /// Reads until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let read = async {
            loop {
                match self.read().await {
                    Ok(()) => self.age.renew(),
                    Err(error) => {
                        tracing::debug!(
                            error = cause_chain(&error),
                            "the metrics' readings are old"
                        );
                    }
                }
                tokio::time::sleep(self.interval).await;
            }
        };
        let check = async {
            loop {
                let began = Instant::now();
                match self.check().await {
                    Ok(()) => self.invariants_age.renew(),
                    Err(error) => {
                        tracing::warn!(error = cause_chain(&error), "invariants cannot be checked");
                    }
                }
                let pause = began.elapsed() * CHECK_PAUSE_FACTOR;
                let pause = pause.max(CHECK_PAUSE_MIN.min(self.interval * 6));
                tokio::time::sleep(pause).await;
            }
        };
        stop.run_until_cancelled(async { tokio::join!(read, check) })
            .await;
    }

    async fn read(&self) -> Result<(), DbError> {
        self.outbox.read(&self.db).await?;
        self.inbox.read(&self.db, self.service).await?;
        self.postgres.read(&self.db).await
    }

    /// Checks each invariant in a snapshot of its own: one violation is proof.
    async fn check(&self) -> Result<(), DbError> {
        for (invariant, check) in invariants::of(self.service) {
            let count = self
                .db
                .transaction("kit.check_invariant", async |tx| -> Result<i64, DbError> {
                    sql_query("SELECT set_config('tovar.key_hours', $1, true)")
                        .bind::<Text, _>(self.key_hours.to_string())
                        .execute(&mut **tx)
                        .await?;
                    let sql = format!(
                        "SELECT count(*) AS violations FROM ({}) AS found",
                        check.sql
                    );
                    let found: Count = sql_query(sql).get_result(&mut **tx).await?;
                    Ok(found.violations)
                })
                .await?;
            if count > 0 {
                tracing::error!(
                    invariant,
                    what = check.what,
                    count,
                    "an invariant is broken"
                );
            }
            self.violations(invariant, check, count);
        }
        Ok(())
    }

    fn violations(&self, invariant: &'static str, check: &Check, count: i64) {
        let what = check.what;
        let labels = Invariant { invariant, what };
        self.invariants
            .violations
            .get_or_create_owned(&labels)
            .set(count);
    }
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    violations: i64,
}
