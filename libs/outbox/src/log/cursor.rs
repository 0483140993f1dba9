use std::time::Duration;

use tokio_postgres::{error::SqlState, types::ToSql};

use super::session::{LogError, Session};

/// How far a relay is. Everything that `acknowledged` sees is sent; inside a large difference also
/// everything that the target sees up to a position. A snapshot is a `pg_snapshot` as text, which
/// only PostgreSQL looks into.
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

    /// What `target` sees is too much for one look: it is read page by page, from after `before`
    /// on.
    pub fn begins(&mut self, target: S, before: i64) {
        self.towards = Some((target, before));
    }

    /// A page was read up to its `last` position. A page without any means that the target is
    /// reached.
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
    target = $2::text::pg_snapshot, position = $3, saved_at = now(), saved_by = pg_current_xact_id()";

const SAVE_ORIGIN_SQL: &str = "UPDATE outbox_cursor SET system_identifier = $1, timeline = $2, saved_by = pg_current_xact_id()";

/// The timeline is the first part of the current WAL file's name.
const TIMELINE_SQL: &str = "('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int";
/// The cursor's row names the transaction that wrote it: in a copy by a dump it is another one that
/// did.
const IS_FROM_HERE_SQL: &str =
    "saved_by::text::numeric % 4294967296 = outbox_cursor.xmin::text::numeric";

impl Session {
    /// The saved cursor, and the cluster that it is from (`None` before the first relay).
    pub async fn load_cursor(&self) -> Result<(Cursor, Option<Origin>), LogError> {
        let row = self.client.query_one(
            "SELECT acknowledged::text, target::text, position, system_identifier, timeline FROM outbox_cursor",
            &[],
        );
        let row = row.await?;
        let towards = row.get::<_, Option<String>>(1).zip(row.get(2));
        let origin = row
            .get::<_, Option<i64>>(3)
            .zip(row.get::<_, Option<i32>>(4));
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

    /// The cluster that this session is on. Where it may not be asked for its identifier, 0 or 1
    /// stand for it, and the cursor's row tells whether it was written here.
    pub async fn origin(&self) -> Result<Origin, LogError> {
        let asked = format!(
            "SELECT CASE WHEN c.system_identifier IN (0, 1) AND c.is_from_here THEN c.system_identifier ELSE s.system_identifier END,
               {TIMELINE_SQL} FROM pg_control_system() s, (SELECT system_identifier, {IS_FROM_HERE_SQL} AS is_from_here FROM outbox_cursor) c"
        );
        let told = format!(
            "SELECT CASE WHEN system_identifier IS NULL THEN 0 WHEN {IS_FROM_HERE_SQL} THEN system_identifier
               WHEN saved_by IS NOT NULL THEN (system_identifier = 0)::int::bigint END, {TIMELINE_SQL}, current_user::text FROM outbox_cursor"
        );
        let row = match self.client.query_one(&asked, &[]).await {
            Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                self.client.query_one(&told, &[]).await?
            }
            asked => asked?,
        };
        let Some(system_identifier) = row.get(0) else {
            return Err(LogError::UnknownCluster { role: row.get(2) });
        };
        Ok(Origin {
            system_identifier,
            timeline: row.get(1),
        })
    }

    /// Notes which cluster the cursor is from.
    pub async fn save_origin(&self, origin: Origin) -> Result<(), LogError> {
        self.client
            .execute(
                SAVE_ORIGIN_SQL,
                &[&origin.system_identifier, &origin.timeline],
            )
            .await?;
        Ok(())
    }

    /// Saves how far the relay is.
    pub async fn save_cursor(&self, cursor: &Cursor) -> Result<(), LogError> {
        let (target, position) = cursor.towards.clone().unzip();
        self.client
            .execute(
                &self.statements.save,
                &[&cursor.acknowledged, &target, &position],
            )
            .await?;
        Ok(())
    }

    /// Starts over in a cluster that the cursor is not from, see [`Restart`], and notes that it is
    /// from here now. It waits until no other transaction uses the outbox, and says for which.
    pub async fn restart(&mut self, from: Restart, here: Origin) -> Result<(), LogError> {
        loop {
            match self.try_restart(from, here).await {
                Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                    self.tell_who_uses_the_outbox().await?;
                    // Publishers wait behind a lock on all of the table that is waited for: they
                    // have a turn.
                    tokio::time::sleep(RESTART_WAITS).await;
                }
                outcome => return Ok(outcome?),
            }
        }
    }

    async fn try_restart(
        &mut self,
        from: Restart,
        here: Origin,
    ) -> Result<(), tokio_postgres::Error> {
        let transaction = self.client.transaction().await?;
        let limits = format!(
            "SET LOCAL synchronous_commit = on; SET LOCAL lock_timeout = {}",
            RESTART_WAITS.as_millis()
        );
        transaction.batch_execute(&limits).await?;
        let from_all = from == Restart::All;
        let go_on: [&(dyn ToSql + Sync); 3] = [&from_all, &here.system_identifier, &here.timeline];
        transaction
            .execute("SELECT outbox_go_on_from($1, $2, $3)", &go_on)
            .await?;
        transaction.commit().await
    }

    async fn tell_who_uses_the_outbox(&self) -> Result<(), LogError> {
        for row in self.client.query(USERS_SQL, &[]).await? {
            let (pid, application): (i32, String) = (row.get(0), row.get(1));
            let (state, seconds): (Option<String>, Option<i64>) = (row.get(2), row.get(3));
            tracing::warn!(
                pid,
                application,
                state,
                seconds,
                "going on as told waits for this session's transaction, which uses the outbox"
            );
        }
        Ok(())
    }
}

/// How long publishers wait behind a restart that waits for others, at a time.
const RESTART_WAITS: Duration = Duration::from_secs(1);

/// Whose transactions hold locks on the outbox, and for how many seconds they have been open; the
/// oldest first.
const USERS_SQL: &str = "SELECT pid, coalesce(application_name, ''), state, extract(epoch FROM clock_timestamp() - xact_start)::bigint
    FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND pid IN (
      SELECT pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE granted AND datname = current_database()
        AND relation IN (SELECT relid FROM pg_partition_tree('outbox')))
    ORDER BY xact_start";
