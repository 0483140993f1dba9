use std::pin::pin;

use futures_util::TryStreamExt;
use tokio_postgres::{Row, Statement, types::ToSql};

use super::{error::LogError, event::OutboxEvent, page_size::PageSize, session::Session};

/// The events between the acknowledged snapshot and now.
pub enum Difference {
    /// All of them, by position.
    Whole {
        now: String,
        events: Vec<OutboxEvent>,
    },
    /// There are more than a page has: read them page by page, up to what `now` sees, starting
    /// after the position `before`.
    Large { now: String, before: i64 },
}

impl Session {
    /// Takes a new snapshot and reads what it sees beyond `acknowledged`, if that fits into a page.
    pub async fn read_difference(
        &self,
        acknowledged: &str,
        page_size: &mut PageSize,
    ) -> Result<Difference, LogError> {
        let wanted = page_size.rows();
        let Answer { rows, is_whole } = self
            .read(
                &self.statements.difference,
                &[&acknowledged, &wanted],
                page_size,
            )
            .await?;
        let first = rows.first();
        let now: String = first.map_or_else(|| acknowledged.to_owned(), |row| row.get(8));
        if first.is_none_or(|row| row.get::<_, Option<i64>>(0).is_none()) {
            return Ok(Difference::Whole {
                now,
                events: Vec::new(),
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
            events: rows.into_iter().map(OutboxEvent::new).collect(),
        })
    }

    /// Reads the next page of a large difference, by position.
    pub async fn read_page(
        &self,
        acknowledged: &str,
        target: &str,
        after: i64,
        page_size: &mut PageSize,
    ) -> Result<Vec<OutboxEvent>, LogError> {
        let wanted = page_size.rows();
        let answer = self
            .read(
                &self.statements.page,
                &[&acknowledged, &target, &after, &wanted],
                page_size,
            )
            .await?;
        Ok(answer.rows.into_iter().map(OutboxEvent::new).collect())
    }

    /// Reads the first rows of an answer, as far as they fit, and drops the others as they come.
    async fn read(
        &self,
        statement: &Statement,
        parameters: &[&(dyn ToSql + Sync)],
        page_size: &mut PageSize,
    ) -> Result<Answer, tokio_postgres::Error> {
        let parameters = parameters.iter().map(|parameter| *parameter as &dyn ToSql);
        let mut stream = pin!(self.client.query_raw(statement, parameters).await?);
        let (mut rows, mut bytes, mut is_whole) = (Vec::new(), 0, true);
        while let Some(row) = stream.try_next().await? {
            let size = row.raw_size_bytes();
            is_whole = is_whole && page_size.fits(rows.len(), bytes, size);
            if is_whole {
                bytes += size;
                rows.push(row);
            }
        }
        page_size.adapt(rows.len(), bytes);
        Ok(Answer { rows, is_whole })
    }
}

struct Answer {
    rows: Vec<Row>,
    /// Whether all rows fitted.
    is_whole: bool,
}
