use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use diesel::{
    QueryableByName, sql_query,
    sql_types::{Double, Nullable, Text},
};
use diesel_async::RunQueryDsl;
use prometheus_client::{
    collector::Collector,
    encoding::DescriptorEncoder,
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry, Unit},
};
use telemetry::show;

use crate::{Db, DbError, metrics::by};

/// PostgreSQL's statistics of a service's database, as the service last read them. They need no
/// exporter, and no right beyond the service's own.
#[derive(Clone, Debug, Default)]
pub struct PostgresMetrics(Arc<Mutex<Reading>>);

/// The values by name, and those of tables also by table.
#[derive(Debug, Default)]
struct Reading {
    whole: BTreeMap<String, f64>,
    tables: BTreeMap<String, Vec<(String, f64)>>,
}

#[derive(QueryableByName)]
struct Statistic {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Nullable<Text>)]
    of_table: Option<String>,
    #[diesel(sql_type = Double)]
    value: f64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
}
use Kind::{Counter, Gauge};

/// The metrics of the whole database: column, name, unit, kind, help.
const WHOLE: [(&str, &str, Option<Unit>, Kind, &str); 16] = [
    (
        "xact_commit",
        "postgres_commits",
        None,
        Counter,
        "Transactions that committed, as PostgreSQL counts them",
    ),
    (
        "xact_rollback",
        "postgres_rollbacks",
        None,
        Counter,
        "Transactions that were rolled back, as PostgreSQL counts them",
    ),
    (
        "numbackends",
        "postgres_sessions",
        None,
        Gauge,
        "Sessions that the database has, the relay's and operators' among them",
    ),
    (
        "blks_hit",
        "postgres_blocks_hit",
        None,
        Counter,
        "Blocks that were found in PostgreSQL's own cache",
    ),
    (
        "blks_read",
        "postgres_blocks_read",
        None,
        Counter,
        "Blocks that had to be read from the system",
    ),
    (
        "tup_returned",
        "postgres_rows_scanned",
        None,
        Counter,
        "Rows that scans went through",
    ),
    (
        "tup_fetched",
        "postgres_rows_fetched",
        None,
        Counter,
        "Rows that index scans fetched",
    ),
    (
        "tup_inserted",
        "postgres_rows_inserted",
        None,
        Counter,
        "Rows that were inserted",
    ),
    (
        "tup_updated",
        "postgres_rows_updated",
        None,
        Counter,
        "Rows that were updated",
    ),
    (
        "tup_deleted",
        "postgres_rows_deleted",
        None,
        Counter,
        "Rows that were deleted",
    ),
    (
        "deadlocks",
        "postgres_deadlocks",
        None,
        Counter,
        "Deadlocks that PostgreSQL broke",
    ),
    (
        "temp_bytes",
        "postgres_temporary",
        Some(Unit::Bytes),
        Counter,
        "Bytes that queries wrote to temporary files",
    ),
    (
        "wal_bytes",
        "postgres_wal",
        Some(Unit::Bytes),
        Counter,
        "Write-ahead log that the whole cluster has written",
    ),
    (
        "size",
        "postgres_size",
        Some(Unit::Bytes),
        Gauge,
        "Size of the database",
    ),
    (
        "oldest",
        "postgres_oldest_transaction",
        Some(Unit::Seconds),
        Gauge,
        "Age of the oldest open transaction of the service's role",
    ),
    (
        "waiting",
        "postgres_lock_waiters",
        None,
        Gauge,
        "Locks in the database that a session waits for",
    ),
];

/// The metrics of each table: column, name, kind, help.
const TABLES: [(&str, &str, Kind, &str); 4] = [
    (
        "live",
        "postgres_table_live_rows",
        Gauge,
        "Rows of a table, as PostgreSQL estimates them",
    ),
    (
        "dead",
        "postgres_table_dead_rows",
        Gauge,
        "Rows of a table that a vacuum will remove, as PostgreSQL estimates them",
    ),
    (
        "bytes",
        "postgres_table_size_bytes",
        Gauge,
        "Size of a table with its indexes",
    ),
    (
        "scans",
        "postgres_table_sequential_scans",
        Counter,
        "Scans of a whole table",
    ),
];

const SQL: &str = "
    SELECT v.name, NULL AS of_table, v.value::float8 AS value
      FROM pg_stat_database d, LATERAL (VALUES
      ('xact_commit', xact_commit), ('xact_rollback', xact_rollback), ('numbackends', numbackends),
      ('blks_hit', blks_hit), ('blks_read', blks_read),
      ('tup_returned', tup_returned), ('tup_fetched', tup_fetched),
      ('tup_inserted', tup_inserted), ('tup_updated', tup_updated), ('tup_deleted', tup_deleted),
      ('deadlocks', deadlocks), ('temp_bytes', temp_bytes)) v (name, value)
      WHERE d.datname = current_database()
    UNION ALL SELECT 'wal_bytes', NULL, pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8
    UNION ALL SELECT 'size', NULL, pg_database_size(current_database())::float8
    UNION ALL SELECT 'oldest', NULL,
        coalesce(extract(epoch FROM clock_timestamp() - min(xact_start)), 0)::float8
      FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
    UNION ALL SELECT 'waiting', NULL, count(*)::float8
      FROM pg_locks l JOIN pg_database d ON d.oid = l.database
      WHERE NOT granted AND datname = current_database()
    UNION ALL SELECT v.name, relname, v.value::float8 FROM pg_stat_user_tables t, LATERAL (VALUES
      ('live', n_live_tup), ('dead', n_dead_tup), ('bytes', pg_total_relation_size(relid)),
      ('scans', seq_scan)) v (name, value)
    ORDER BY 1, 2";

impl PostgresMetrics {
    /// Registers the metrics. They show nothing until the first reading.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register_collector(Box::new(metrics.clone()));
        metrics
    }

    /// Reads PostgreSQL's statistics.
    pub async fn read(&self, db: &Db) -> Result<(), DbError> {
        let rows: Vec<Statistic> = db
            .transaction(
                "db.read_statistics",
                async |tx| -> Result<Vec<Statistic>, DbError> {
                    Ok(sql_query(SQL).load(&mut **tx).await?)
                },
            )
            .await?;
        let mut reading = Reading::default();
        for row in rows {
            match row.of_table {
                None => {
                    reading.whole.insert(row.name, row.value);
                }
                Some(table) => reading
                    .tables
                    .entry(row.name)
                    .or_default()
                    .push((table, row.value)),
            }
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = reading;
        Ok(())
    }
}

impl Collector for PostgresMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let reading = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (column, name, unit, kind, help) in &WHOLE {
            let Some(value) = reading.whole.get(*column) else {
                continue;
            };
            match kind {
                Counter => show(
                    &mut encoder,
                    name,
                    help,
                    unit.as_ref(),
                    &ConstCounter::new(*value),
                )?,
                Gauge => show(
                    &mut encoder,
                    name,
                    help,
                    unit.as_ref(),
                    &ConstGauge::new(*value),
                )?,
            }
        }
        for (column, name, kind, help) in &TABLES {
            let Some(values) = reading.tables.get(*column) else {
                continue;
            };
            let values = values.iter().map(|(table, value)| (table.as_str(), *value));
            if *kind == Counter {
                let values: Vec<_> = values
                    .map(|(table, value)| (table, ConstCounter::new(value)))
                    .collect();
                by(&mut encoder, name, help, "table", &values)?;
            } else {
                let values: Vec<_> = values
                    .map(|(table, value)| (table, ConstGauge::new(value)))
                    .collect();
                by(&mut encoder, name, help, "table", &values)?;
            }
        }
        Ok(())
    }
}
