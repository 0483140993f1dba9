use chrono::{DateTime, Utc};
use db::lock_class;
use tokio_postgres::Client;

use super::error::LogError;

/// The state of an outbox, for an operator.
#[derive(Clone, Debug, serde::Serialize)]
pub struct OutboxStatus {
    /// Whether a relay leads here.
    pub has_relay: bool,
    /// When the relay last saved how far Kafka has acknowledged.
    pub saved_at: DateTime<Utc>,
    /// Events that are not known to be acknowledged.
    pub waiting: i64,
    /// When the oldest of these was recorded.
    pub waiting_since: Option<DateTime<Utc>>,
    /// Events that can be republished.
    pub retained: i64,
    pub parked: i64,
    pub in_replay: i64,
    pub discarded: i64,
}

/// Reads the state of the outbox; $1 is the class of the leader's lock.
const STATUS: &str = "SELECT
    EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
            WHERE locktype = 'advisory' AND classid = $1::int::oid AND objid = 0 AND objsubid = 2
              AND granted AND datname = current_database()),
    saved_at, w.events, w.oldest, (SELECT count(DISTINCT id) FROM outbox),
    p.parked, p.in_replay, p.discarded
  FROM outbox_cursor,
    LATERAL (SELECT count(*) events, min(recorded_at) oldest FROM outbox
             WHERE xid >= pg_snapshot_xmin(acknowledged)
               AND NOT pg_visible_in_snapshot(xid, acknowledged)) w,
    (SELECT count(*) FILTER (WHERE state = 'parked') parked,
       count(*) FILTER (WHERE state = 'replay') in_replay,
       count(*) FILTER (WHERE state = 'discarded') discarded FROM outbox_parked) p";

pub async fn status(client: &Client) -> Result<OutboxStatus, LogError> {
    let row = client
        .query_one(STATUS, &[&lock_class::OUTBOX_RELAY])
        .await?;
    Ok(OutboxStatus {
        has_relay: row.get(0),
        saved_at: row.get(1),
        waiting: row.get(2),
        waiting_since: row.get(3),
        retained: row.get(4),
        parked: row.get(5),
        in_replay: row.get(6),
        discarded: row.get(7),
    })
}
