use tokio_postgres::Row;

use super::session::{LogError, Session};

/// How far a relay is. Everything that `acknowledged` sees is sent; inside a large difference also everything that
/// the target sees up to a position. A snapshot is a `pg_snapshot` as text, which only PostgreSQL looks into.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Cursor<S = String> {
    pub acknowledged: S,
    /// The snapshot that is being read towards, and the last position that is done.
    pub towards: Option<(S, i64)>,
}

impl<S> Cursor<S> {
    /// All that `now` sees was read.
    pub fn reached(&mut self, now: S) {
        self.acknowledged = now;
        self.towards = None;
    }

    /// What `target` sees is too much for one look: it is read page by page, from after `before` on.
    pub fn begins(&mut self, target: S, before: i64) {
        self.towards = Some((target, before));
    }

    /// A page was read up to its `last` position. A page without any means that the target is reached.
    pub fn paged(&mut self, last: Option<i64>) {
        match (self.towards.take(), last) {
            (Some((target, _)), Some(last)) => self.towards = Some((target, last)),
            (Some((target, _)), None) => self.acknowledged = target,
            (None, _) => {}
        }
    }
}

/// Which cluster a cursor is from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    pub system_identifier: i64,
    pub timeline: i32,
}

/// From where a relay goes on in a cluster that its cursor is not from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restart {
    /// What is in the outbox counts as sent.
    Now,
    /// All of it is sent again.
    All,
}

pub(crate) const SAVE_SQL: &str = "UPDATE outbox_cursor SET acknowledged = $1::text::pg_snapshot,
    target = $2::text::pg_snapshot, position = $3, saved_at = now()";

/// The timeline is the first part of the current WAL file's name.
const ORIGIN_SQL: &str = "SELECT system_identifier,
    ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int FROM pg_control_system()";

impl Session {
    /// The saved cursor, and the cluster that it is from (`None` before the first relay).
    pub async fn load_cursor(&self) -> Result<(Cursor, Option<Origin>), LogError> {
        let row = self.client.query_one(
            "SELECT acknowledged::text, target::text, position, system_identifier, timeline FROM outbox_cursor",
            &[],
        );
        let row = row.await?;
        let towards = row.get::<_, Option<String>>(1).zip(row.get(2));
        let origin = row.get::<_, Option<i64>>(3).zip(row.get::<_, Option<i32>>(4));
        let origin = origin.map(|(system_identifier, timeline)| Origin {
            system_identifier,
            timeline,
        });
        Ok((
            Cursor {
                acknowledged: row.get(0),
                towards,
            },
            origin,
        ))
    }

    /// The cluster that this session is on.
    pub async fn origin(&self) -> Result<Origin, LogError> {
        let row: Row = self.client.query_one(ORIGIN_SQL, &[]).await?;
        Ok(Origin {
            system_identifier: row.get(0),
            timeline: row.get(1),
        })
    }

    /// Notes which cluster the cursor is from.
    pub async fn save_origin(&self, origin: Origin) -> Result<(), LogError> {
        let sql = "UPDATE outbox_cursor SET system_identifier = $1, timeline = $2";
        self.client
            .execute(sql, &[&origin.system_identifier, &origin.timeline])
            .await?;
        Ok(())
    }

    /// Saves how far the relay is.
    pub async fn save_cursor(&self, cursor: &Cursor) -> Result<(), LogError> {
        let (target, position) = cursor.towards.clone().unzip();
        self.client
            .execute(&self.statements.save, &[&cursor.acknowledged, &target, &position])
            .await?;
        Ok(())
    }

    /// Starts over in a cluster that the cursor is not from; see [`Restart`].
    pub async fn restart(&mut self, from: Restart) -> Result<(), LogError> {
        let transaction = self.client.transaction().await?;
        transaction
            .batch_execute("SET LOCAL synchronous_commit = on; LOCK TABLE outbox IN EXCLUSIVE MODE")
            .await?;
        let now =
            "UPDATE outbox_cursor SET acknowledged = pg_current_snapshot(), target = NULL, position = NULL";
        transaction.execute(now, &[]).await?;
        // The rows' transaction ids are the other cluster's: here they may be still to come.
        let rows = match from {
            // As old as can be, so that every snapshot sees them.
            Restart::Now => "UPDATE outbox SET xid = '3'",
            // As rows of this transaction they are new here.
            Restart::All => {
                "CREATE TEMP TABLE again ON COMMIT DROP AS SELECT * FROM outbox;
                 TRUNCATE outbox;
                 INSERT INTO outbox (id, topic, key, type, payload, headers, recorded_at)
                 SELECT id, topic, key, type, payload, headers, recorded_at FROM again ORDER BY position;"
            }
        };
        transaction.batch_execute(rows).await?;
        transaction.commit().await?;
        Ok(())
    }
}
