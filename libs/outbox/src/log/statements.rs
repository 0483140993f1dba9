use tokio_postgres::{Client, Error, Statement};

use super::event::COLUMNS;

/// The statements of a relay's session, prepared once.
pub(crate) struct Statements {
    pub difference: Statement,
    pub lowest: Statement,
    pub page: Statement,
    pub save_cursor: Statement,
    pub sleep: Statement,
    pub wake: Statement,
}

impl Statements {
    pub async fn prepare(client: &Client) -> Result<Self, Error> {
        Ok(Self {
            difference: client.prepare(&difference_sql()).await?,
            lowest: client.prepare(LOWEST_SQL).await?,
            page: client.prepare(&page_sql()).await?,
            save_cursor: client.prepare(SAVE_CURSOR_SQL).await?,
            sleep: client.prepare("SELECT pg_try_advisory_lock($1, 0)").await?,
            wake: client.prepare("SELECT pg_advisory_unlock($1, 0)").await?,
        })
    }
}

/// Reads the difference from the acknowledged snapshot ($1) to now, and one row more than wanted
/// ($2). It has the rows at or past the old xmax, and those of transactions that were open then and
/// are visible now.
fn difference_sql() -> String {
    let d_columns = COLUMNS
        .split(", ")
        .map(|column| format!("d.{column}"))
        .collect::<Vec<_>>()
        .join(", ");
    let o_columns = COLUMNS
        .split(", ")
        .map(|column| format!("o.{column}"))
        .collect::<Vec<_>>()
        .join(", ");
    format!(
        "WITH s AS MATERIALIZED (SELECT $1::text::pg_snapshot a, pg_current_snapshot() t),
         d AS MATERIALIZED ((
           SELECT {COLUMNS} FROM outbox
           WHERE xid >= (SELECT pg_snapshot_xmax(a) FROM s)
             AND xid < (SELECT pg_snapshot_xmax(t) FROM s)
           UNION ALL
           SELECT {o_columns} FROM pg_snapshot_xip((SELECT a FROM s)) x
           CROSS JOIN LATERAL (SELECT {COLUMNS} FROM outbox WHERE xid = x) o
           WHERE pg_visible_in_snapshot(x, (SELECT t FROM s))
         ) LIMIT $2::bigint + 1)
         SELECT {d_columns}, s.t::text FROM s LEFT JOIN d ON true ORDER BY position"
    )
}

/// Reads the position before the first row of the difference from $1, the acknowledged snapshot, to
/// $2, the target. `position + 0` keeps the planner from walking through the whole history along
/// the index of positions.
const LOWEST_SQL: &str = "SELECT coalesce(least(
    (SELECT min(position + 0) FROM outbox
     WHERE xid >= pg_snapshot_xmax($1::text::pg_snapshot)
       AND xid < pg_snapshot_xmax($2::text::pg_snapshot)),
    (SELECT min(position + 0) FROM outbox
     WHERE xid = ANY(ARRAY(SELECT x FROM pg_snapshot_xip($1::text::pg_snapshot) x
                           WHERE pg_visible_in_snapshot(x, $2::text::pg_snapshot))))), 1) - 1";

/// Reads the next page of the difference from $1, the acknowledged snapshot, to $2, the target:
/// rows behind position $3, at most $4. Of the transactions that were open in the old snapshot it
/// names only those that the target sees, or each page would scan a large uncommitted one.
fn page_sql() -> String {
    format!(
        "WITH s AS MATERIALIZED (SELECT $1::text::pg_snapshot a, $2::text::pg_snapshot t)
         SELECT {COLUMNS} FROM outbox
         WHERE position > $3
           AND (xid >= (SELECT pg_snapshot_xmax(a) FROM s)
                OR xid = ANY(ARRAY(SELECT x FROM s, pg_snapshot_xip(a) x
                                   WHERE pg_visible_in_snapshot(x, t))))
           AND pg_visible_in_snapshot(xid, (SELECT t FROM s))
         ORDER BY position LIMIT $4"
    )
}

/// Saves the acknowledged snapshot ($1), and inside a large difference the target ($2) and the last
/// acknowledged position ($3).
const SAVE_CURSOR_SQL: &str = "UPDATE outbox_cursor SET acknowledged = $1::text::pg_snapshot,
    target = $2::text::pg_snapshot, position = $3, saved_at = now(),
    saved_by = pg_current_xact_id()";
