use std::pin::pin;

use futures_util::TryStreamExt;
use tokio_postgres::{Row, Statement, types::ToSql};

use super::{
    portion::Portion,
    record::{COLUMNS, Record},
    session::{LogError, Session},
};

/// What a tick found between the acknowledged snapshot and now.
pub enum Difference {
    /// All rows of it, by position.
    Whole { now: String, records: Vec<Record> },
    /// More rows than wanted: read them page by page towards `now`, starting after `before`.
    Large { now: String, before: i64 },
}

/// $1 acknowledged snapshot, $2 rows wanted. Rows at or past the old xmax, and rows of transactions
/// that were open then and are visible now.
pub(crate) fn tick_sql() -> String {
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
           WHERE xid >= (SELECT pg_snapshot_xmax(a) FROM s) AND xid < (SELECT pg_snapshot_xmax(t) FROM s)
           UNION ALL
           SELECT {o_columns} FROM pg_snapshot_xip((SELECT a FROM s)) x
           CROSS JOIN LATERAL (SELECT {COLUMNS} FROM outbox WHERE xid = x) o
           WHERE pg_visible_in_snapshot(x, (SELECT t FROM s))
         ) LIMIT $2::bigint + 1)
         SELECT {d_columns}, s.t::text FROM s LEFT JOIN d ON true ORDER BY position"
    )
}

/// $1 acknowledged, $2 target: the position before the first row of the difference. `position + 0`
/// keeps the planner from walking the whole history along the index of positions.
pub(crate) const LOWEST_SQL: &str = "SELECT coalesce(least(
    (SELECT min(position + 0) FROM outbox
     WHERE xid >= pg_snapshot_xmax($1::text::pg_snapshot) AND xid < pg_snapshot_xmax($2::text::pg_snapshot)),
    (SELECT min(position + 0) FROM outbox
     WHERE xid = ANY(ARRAY(SELECT x FROM pg_snapshot_xip($1::text::pg_snapshot) x
                           WHERE pg_visible_in_snapshot(x, $2::text::pg_snapshot))))), 1) - 1";

/// $1 acknowledged, $2 target, $3 last position, $4 rows. The open transactions of the old snapshot
/// are cut to those that the target sees, or a large uncommitted one would be scanned at every
/// page.
pub(crate) fn page_sql() -> String {
    format!(
        "WITH s AS MATERIALIZED (SELECT $1::text::pg_snapshot a, $2::text::pg_snapshot t)
         SELECT {COLUMNS} FROM outbox
         WHERE position > $3
           AND (xid >= (SELECT pg_snapshot_xmax(a) FROM s)
                OR xid = ANY(ARRAY(SELECT x FROM s, pg_snapshot_xip(a) x WHERE pg_visible_in_snapshot(x, t))))
           AND pg_visible_in_snapshot(xid, (SELECT t FROM s))
         ORDER BY position LIMIT $4"
    )
}

impl Session {
    /// Takes a new snapshot and reads what it sees beyond `acknowledged`, if that is at most a
    /// `portion`.
    pub async fn tick(
        &self,
        acknowledged: &str,
        portion: &mut Portion,
    ) -> Result<Difference, LogError> {
        let wanted = portion.rows();
        let Answer { rows, is_whole } = self
            .read(&self.statements.tick, &[&acknowledged, &wanted], portion)
            .await?;
        let first = rows.first();
        let now: String = first.map_or_else(|| acknowledged.to_owned(), |row| row.get(8));
        if first.is_none_or(|row| row.get::<_, Option<i64>>(0).is_none()) {
            return Ok(Difference::Whole {
                now,
                records: Vec::new(),
            });
        }
        if !is_whole || i64::try_from(rows.len()).is_ok_and(|found| found > wanted) {
            drop(rows);
            let before = self
                .client
                .query_one(&self.statements.lowest, &[&acknowledged, &now])
                .await?
                .get(0);
            return Ok(Difference::Large { now, before });
        }
        Ok(Difference::Whole {
            now,
            records: rows.into_iter().map(Record::new).collect(),
        })
    }

    /// The next rows of a large difference, by position: a `portion` at most.
    pub async fn page(
        &self,
        acknowledged: &str,
        target: &str,
        after: i64,
        portion: &mut Portion,
    ) -> Result<Vec<Record>, LogError> {
        let wanted = portion.rows();
        let answer = self
            .read(
                &self.statements.page,
                &[&acknowledged, &target, &after, &wanted],
                portion,
            )
            .await?;
        Ok(answer.rows.into_iter().map(Record::new).collect())
    }

    /// The first rows of an answer, as far as they fit. What comes behind them is let go at once.
    async fn read(
        &self,
        statement: &Statement,
        parameters: &[&(dyn ToSql + Sync)],
        portion: &mut Portion,
    ) -> Result<Answer, tokio_postgres::Error> {
        let parameters = parameters.iter().map(|parameter| *parameter as &dyn ToSql);
        let mut stream = pin!(self.client.query_raw(statement, parameters).await?);
        let (mut rows, mut bytes, mut is_whole) = (Vec::new(), 0, true);
        while let Some(row) = stream.try_next().await? {
            let size = row.raw_size_bytes();
            is_whole = is_whole && portion.fits(rows.len(), bytes, size);
            if is_whole {
                bytes += size;
                rows.push(row);
            }
        }
        portion.came(rows.len(), bytes);
        Ok(Answer { rows, is_whole })
    }
}

struct Answer {
    rows: Vec<Row>,
    /// Whether there were no more than fit.
    is_whole: bool,
}
