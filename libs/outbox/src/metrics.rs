use std::sync::atomic::AtomicU64;

use db::{Db, DbError, lock_class};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{BigInt, Bool, Double, Integer},
};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use prometheus_client::metrics::gauge::Gauge;

telemetry::metrics! {
    /// The state of an outbox, as its service reads it. It is true also while no relay runs and no
    /// event is published.
    #[derive(Clone)]
    pub struct OutboxMetrics {
        /// Age of the oldest event that Kafka is not known to have acknowledged; 0 if there is none
        oldest: Gauge<f64, AtomicU64> = "outbox_oldest_age" in Seconds;
        /// Events that Kafka is not known to have acknowledged; at most 100000 are counted
        waiting: Gauge = "outbox_waiting";
        /// Events that Kafka refused or that wait behind one, until an operator replays or discards
        /// them
        parked: Gauge = "outbox_parked";
        /// 1 while a relay leads on this outbox
        led: Gauge = "outbox_led";
    }
}

#[derive(QueryableByName)]
struct OutboxState {
    #[diesel(sql_type = Double)]
    oldest: f64,
    #[diesel(sql_type = BigInt)]
    waiting: i64,
    #[diesel(sql_type = BigInt)]
    parked: i64,
    #[diesel(sql_type = Bool)]
    led: bool,
}

/// Reads the state of the outbox; $1 is the class of the leader's lock.
const STATE_SQL: &str = "SELECT w.*, led, parked FROM
    (SELECT coalesce(extract(epoch FROM clock_timestamp() - min(recorded_at)), 0)::float8 AS oldest,
       count(*) AS waiting FROM (
       SELECT recorded_at FROM outbox, outbox_cursor
       WHERE xid >= pg_snapshot_xmin(acknowledged)
         AND NOT pg_visible_in_snapshot(xid, acknowledged)
       ORDER BY xid LIMIT 100000) u) w,
    (SELECT count(*) AS parked FROM outbox_parked WHERE state IN ('parked', 'replay')) p,
    (SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
       WHERE locktype = 'advisory' AND classid = $1::oid AND objid = 0 AND objsubid = 2
         AND granted AND datname = current_database()) AS led) l";

impl OutboxMetrics {
    /// Reads the state of the outbox of `db`.
    pub async fn read(&self, db: &Db) -> Result<(), DbError> {
        let state = db
            .transaction(
                "outbox.standing",
                async |tx| -> Result<OutboxState, DbError> {
                    // Without these, PostgreSQL would scan all of a log that is not analysed.
                    tx.batch_execute(
                        "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off;
                     SET LOCAL jit = off",
                    )
                    .await?;
                    let query = sql_query(STATE_SQL).bind::<Integer, _>(lock_class::OUTBOX_RELAY);
                    Ok(query.get_result(&mut **tx).await?)
                },
            )
            .await?;
        self.oldest.set(state.oldest);
        self.waiting.set(state.waiting);
        self.parked.set(state.parked);
        self.led.set(state.led.into());
        Ok(())
    }
}
