use std::{fmt, time::Duration};

use connect::PostgresSettings;
use diesel::{
    QueryableByName, sql_query,
    sql_types::{Double, Integer, Nullable, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::pool::connect;

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
    /// Since its transaction began, or since it last did something.
    #[diesel(sql_type = Nullable<Double>)]
    seconds: Option<f64>,
    #[diesel(sql_type = Nullable<Text>)]
    query: Option<String>,
}

/// All that one session waits for.
#[derive(Debug)]
pub struct Blockers(pub Vec<Blocker>);

const BLOCKERS: &str = "SELECT blocking.pid, application_name AS application, usename::text AS role, state,
        extract(epoch FROM clock_timestamp() - coalesce(xact_start, state_change))::float8 AS seconds, query
    FROM unnest(pg_blocking_pids($1)) AS blocking (pid) LEFT JOIN pg_stat_activity AS activity USING (pid)";

/// How soon it is asked for whom a session waits, and how often then.
const LOOK: Duration = Duration::from_millis(100);
/// Characters of a query that are shown.
const WORDS: usize = 60;

/// A session that sees for whom another one waits.
pub struct Watcher<'s> {
    postgres: &'s PostgresSettings,
    conn: Option<AsyncPgConnection>,
    /// What was seen last.
    seen: Vec<Blocker>,
}

impl<'s> Watcher<'s> {
    pub fn new(postgres: &'s PostgresSettings) -> Self {
        Self {
            postgres,
            conn: None,
            seen: Vec::new(),
        }
    }

    /// What comes of `work`, which the session `pid` does. What cannot be seen is not missed: the
    /// work itself tells what is wrong.
    pub async fn watch<W: Future>(&mut self, pid: i32, work: W) -> W::Output {
        let look = async {
            loop {
                tokio::time::sleep(LOOK).await;
                if let Err(error) = self.look(pid).await {
                    tracing::debug!(error, "who blocks cannot be asked");
                }
            }
        };
        tokio::select! {
            done = work => done,
            () = look => unreachable!("it looks until the work is done"),
        }
    }

    /// For whom the session waited when that was last seen. It is seen better from now on: work may
    /// end while a line is opened.
    pub async fn blockers(&mut self) -> Blockers {
        if let Err(error) = self.open().await {
            tracing::debug!(error, "who blocks cannot be asked");
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

    async fn look(&mut self, pid: i32) -> Result<(), String> {
        self.open().await?;
        // A line whose question is dropped goes with it.
        let Some(mut conn) = self.conn.take() else {
            return Ok(());
        };
        let asked = sql_query(BLOCKERS)
            .bind::<Integer, _>(pid)
            .load(&mut conn)
            .await;
        let found: Vec<Blocker> = asked.map_err(|error| error.to_string())?;
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
        // It has no session.
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
        write!(f, "): {}", words(self.query.as_deref().unwrap_or_default()))
    }
}

/// The first words of a query, up to the first value in it: that may be a secret.
fn words(query: &str) -> String {
    let shown = query.split(['\'', '$']).next().unwrap_or_default();
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut shown: String = shown.chars().take(WORDS).collect();
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
        assert_eq!(words("SELECT  *\n FROM numbers"), "SELECT * FROM numbers…");
        assert_eq!(words("SELECT 1"), "SELECT 1");
        assert_eq!(
            words("ALTER ROLE shop PASSWORD 'hunter2'"),
            "ALTER ROLE shop PASSWORD…"
        );
        assert_eq!(words("SELECT $$hunter2$$"), "SELECT…");
        assert_eq!(words(&"x".repeat(100)).chars().count(), 61);
    }
}
