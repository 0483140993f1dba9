use std::{fmt, time::Duration};

use connect::PostgresSettings;
use diesel::{
    QueryableByName, sql_query,
    sql_types::{Double, Integer, Nullable, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::connection::connect;

/// A session that another one waits for.
#[derive(Clone, Debug, QueryableByName)]
pub struct Blocker {
    #[diesel(sql_type = Integer)]
    pid: i32,
    #[diesel(sql_type = Nullable<Text>)]
    application: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    role: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    state: Option<String>,
    /// How long its transaction has been open, or how long it has been idle.
    #[diesel(sql_type = Nullable<Double>)]
    seconds: Option<f64>,
    #[diesel(sql_type = Nullable<Text>)]
    query: Option<String>,
}

/// All sessions that one session waits for.
#[derive(Debug)]
pub struct Blockers(pub Vec<Blocker>);

/// Reads the sessions that the session of process $1 waits for.
const BLOCKERS: &str = "SELECT blocking.pid, application_name AS application,
      usename::text AS role, state,
      extract(epoch FROM clock_timestamp() - coalesce(xact_start, state_change))::float8 AS seconds,
      query
    FROM unnest(pg_blocking_pids($1)) AS blocking (pid)
      LEFT JOIN pg_stat_activity AS activity USING (pid)";

/// Between two questions which sessions block the watched one; also before the first.
const INTERVAL: Duration = Duration::from_millis(100);
/// The most characters of a query that are shown.
const QUERY_CHARACTERS_MAX: usize = 60;

/// A session that reads which sessions block another one.
pub struct BlockerWatcher<'s> {
    postgres: &'s PostgresSettings,
    conn: Option<AsyncPgConnection>,
    /// The sessions that blocked the watched one when it was last blocked.
    seen: Vec<Blocker>,
}

impl<'s> BlockerWatcher<'s> {
    pub fn new(postgres: &'s PostgresSettings) -> Self {
        Self {
            postgres,
            conn: None,
            seen: Vec::new(),
        }
    }

    /// Does `work`, which runs in the session `pid`, and reads meanwhile what blocks it. A failed
    /// read is no error: the work returns its own.
    pub async fn watch<W: Future>(&mut self, pid: i32, work: W) -> W::Output {
        let reading = async {
            loop {
                tokio::time::sleep(INTERVAL).await;
                if let Err(error) = self.read(pid).await {
                    tracing::debug!(error, "the blocking sessions cannot be read");
                }
            }
        };
        tokio::select! {
            done = work => done,
            () = reading => unreachable!("it reads until the work is done"),
        }
    }

    /// The sessions that blocked the watched one when it was last blocked. It also opens the
    /// watching connection: short work may have ended before that was open, and the next work is
    /// then watched from its beginning.
    pub async fn blockers(&mut self) -> Blockers {
        if let Err(error) = self.open().await {
            tracing::debug!(error, "the blocking sessions cannot be read");
        }
        Blockers(self.seen.clone())
    }

    async fn open(&mut self) -> Result<(), String> {
        if self.conn.is_none() {
            let opened = connect(self.postgres, "migration-watch").await;
            self.conn = Some(opened.map_err(|error| error.to_string())?);
        }
        Ok(())
    }

    async fn read(&mut self, pid: i32) -> Result<(), String> {
        self.open().await?;
        // The connection is taken, so that it is closed when this future is dropped during the
        // query.
        let Some(mut conn) = self.conn.take() else {
            return Ok(());
        };
        let loaded = sql_query(BLOCKERS)
            .bind::<Integer, _>(pid)
            .load(&mut conn)
            .await;
        let found: Vec<Blocker> = loaded.map_err(|error| error.to_string())?;
        if !found.is_empty() {
            self.seen = found;
        }
        self.conn = Some(conn);
        Ok(())
    }
}

impl fmt::Display for Blockers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(all) = self;
        if all.is_empty() {
            return f.write_str("a session that could not be asked for");
        }
        for (at, blocker) in all.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", and " };
            write!(f, "{comma}{blocker}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, role, .. } = self;
        // A prepared transaction has no session.
        if *pid == 0 {
            return f.write_str("a prepared transaction (see pg_prepared_xacts)");
        }
        let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
        write!(
            f,
            "pid {pid} (application {:?} of role {:?}, {}",
            known(&self.application),
            known(role),
            known(&self.state)
        )?;
        if let Some(seconds) = self.seconds {
            write!(f, " for {seconds:.0} s")?;
        }
        write!(
            f,
            "): {}",
            shortened(self.query.as_deref().unwrap_or_default())
        )
    }
}

/// The beginning of a query, up to the first value in it, which may be a secret.
fn shortened(query: &str) -> String {
    let shown = query.split(['\'', '$']).next().unwrap_or_default();
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut shown: String = shown.chars().take(QUERY_CHARACTERS_MAX).collect();
    if shown.len() < query.len() {
        shown += "…";
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_shown_without_its_values_and_shortened() {
        assert_eq!(
            shortened("SELECT  *\n FROM numbers"),
            "SELECT * FROM numbers…"
        );
        assert_eq!(shortened("SELECT 1"), "SELECT 1");
        assert_eq!(
            shortened("ALTER ROLE shop PASSWORD 'hunter2'"),
            "ALTER ROLE shop PASSWORD…"
        );
        assert_eq!(shortened("SELECT $$hunter2$$"), "SELECT…");
        assert_eq!(shortened(&"x".repeat(100)).chars().count(), 61);
    }
}
