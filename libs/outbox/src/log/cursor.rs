use std::time::Duration;

use tokio_postgres::{error::SqlState, types::ToSql};

use super::{error::LogError, session::Session};

/// How far a relay is. Kafka has everything that the snapshot `acknowledged` sees; inside a large
/// difference also everything that the target sees up to a position. A snapshot is a `pg_snapshot`
/// as text, which only PostgreSQL interprets.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Cursor<S = String> {
    pub acknowledged: S,
    /// Inside a large difference: the snapshot up to which it is read, and the last position that
    /// is done.
    pub target: Option<(S, i64)>,
}

impl<S> Cursor<S> {
    /// Moves the cursor to the snapshot `now`: all that it sees was read.
    pub fn advance_to(&mut self, now: S) {
        self.acknowledged = now;
        self.target = None;
    }

    /// Starts a large difference: what `target` sees is read page by page, from behind the position
    /// `before`.
    pub fn start_target(&mut self, target: S, before: i64) {
        self.target = Some((target, before));
    }

    /// Moves the cursor behind a page of a large difference, to the page's last position. An empty
    /// page, which has none, means that the target is reached.
    pub fn finish_page(&mut self, last: Option<i64>) {
        match (self.target.take(), last) {
            (Some((target, _)), Some(last)) => self.target = Some((target, last)),
            (Some((target, _)), None) => self.acknowledged = target,
            (None, _) => {}
        }
    }
}

/// The cluster that a cursor is from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    pub system_identifier: i64,
    pub timeline: i32,
}

/// What a relay does with the outbox in a cluster that its cursor is not from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restart {
    /// What is in the outbox counts as sent.
    Now,
    /// All of it is sent again.
    All,
}

/// Notes the cluster that the cursor is from.
const SAVE_ORIGIN_SQL: &str = "UPDATE outbox_cursor SET system_identifier = $1, timeline = $2,
    saved_by = pg_current_xact_id()";

/// The current timeline: the first part of the current WAL file's name.
const TIMELINE_SQL: &str = "('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int";
/// Whether the cursor's row was written in this cluster: then the transaction that it names is the
/// one that wrote it. The restored copy of a dump was written by another one.
const IS_FROM_HERE_SQL: &str =
    "saved_by::text::numeric % 4294967296 = outbox_cursor.xmin::text::numeric";

impl Session {
    /// The saved cursor, and the cluster that it is from (`None` before the first relay).
    pub async fn load_cursor(&self) -> Result<(Cursor, Option<Origin>), LogError> {
        let row = self.client.query_one(
            "SELECT acknowledged::text, target::text, position, system_identifier, timeline
             FROM outbox_cursor",
            &[],
        );
        let row = row.await?;
        let target = row.get::<_, Option<String>>(1).zip(row.get(2));
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
                target,
            },
            origin,
        ))
    }

    /// The cluster that this session is on. A role that may not ask for the cluster's identifier
    /// gets 0 or 1 in its place, which changes when the cursor's row was not written here.
    pub async fn origin(&self) -> Result<Origin, LogError> {
        let by_server = format!(
            "SELECT CASE WHEN c.system_identifier IN (0, 1) AND c.is_from_here
                 THEN c.system_identifier ELSE s.system_identifier END,
               {TIMELINE_SQL} FROM pg_control_system() s,
               (SELECT system_identifier, {IS_FROM_HERE_SQL} AS is_from_here FROM outbox_cursor) c"
        );
        let by_cursor = format!(
            "SELECT CASE WHEN system_identifier IS NULL THEN 0
                 WHEN {IS_FROM_HERE_SQL} THEN system_identifier
                 WHEN saved_by IS NOT NULL THEN (system_identifier = 0)::int::bigint END,
               {TIMELINE_SQL}, current_user::text FROM outbox_cursor"
        );
        let row = match self.client.query_one(&by_server, &[]).await {
            Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                self.client.query_one(&by_cursor, &[]).await?
            }
            answer => answer?,
        };
        let Some(system_identifier) = row.get(0) else {
            return Err(LogError::UnknownCluster { role: row.get(2) });
        };
        Ok(Origin {
            system_identifier,
            timeline: row.get(1),
        })
    }

    /// Saves which cluster the cursor is from.
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
        let (target, position) = cursor.target.clone().unzip();
        self.client
            .execute(
                &self.statements.save_cursor,
                &[&cursor.acknowledged, &target, &position],
            )
            .await?;
        Ok(())
    }

    /// Starts over in a cluster that the cursor is not from, see [`Restart`]; from then on the
    /// cursor is from this cluster. It waits until no other transaction uses the outbox, and logs
    /// those that it waits for.
    pub async fn restart(&mut self, from: Restart, here: Origin) -> Result<(), LogError> {
        loop {
            match self.try_restart(from, here).await {
                Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                    self.log_users_of_the_outbox().await?;
                    // While the restart waits for its lock on the table, publishers wait behind
                    // it. This pause lets them through.
                    tokio::time::sleep(RESTART_LOCK_TIMEOUT).await;
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
            RESTART_LOCK_TIMEOUT.as_millis()
        );
        transaction.batch_execute(&limits).await?;
        let from_all = from == Restart::All;
        let parameters: [&(dyn ToSql + Sync); 3] =
            [&from_all, &here.system_identifier, &here.timeline];
        transaction
            .execute("SELECT outbox_go_on_from($1, $2, $3)", &parameters)
            .await?;
        transaction.commit().await
    }

    async fn log_users_of_the_outbox(&self) -> Result<(), LogError> {
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

/// How long one attempt of a restart waits for its lock, and then pauses. Publishers wait behind it
/// for at most as long.
const RESTART_LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// The sessions whose transactions hold locks on the outbox, and for how many seconds these have
/// been open; the oldest first.
const USERS_SQL: &str = "SELECT pid, coalesce(application_name, ''), state,
      extract(epoch FROM clock_timestamp() - xact_start)::bigint
    FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND pid IN (
      SELECT pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database
      WHERE granted AND datname = current_database()
        AND relation IN (SELECT relid FROM pg_partition_tree('outbox')))
    ORDER BY xact_start";
