//! What the outbox's SQL says, a function for each rule: `libs/outbox/src/log/statements.rs` for
//! the reads, the migration for `outbox_publish` and `outbox_empty_bucket`. A mutation of the SQL
//! changes these alike.

use outbox::log::Cursor;

use super::postgres::{Key, Postgres, Row, Snapshot};

/// TICK: the rows beyond `acknowledged`, by position, and up to which snapshot.
pub fn tick(postgres: &Postgres, acknowledged: Snapshot) -> (Snapshot, Vec<Row>) {
    let now = postgres.snapshot();
    let rows = postgres.visible();
    let found = rows.filter(|row| is_new(row, acknowledged, now)).copied();
    (now, by_position(found.collect()))
}

/// Whether a row that the query sees is in the difference from `acknowledged` to `now`.
fn is_new(row: &Row, acknowledged: Snapshot, now: Snapshot) -> bool {
    (row.xid >= acknowledged.xmax && row.xid < now.xmax)
        || (acknowledged.is_open(row.xid) && now.sees(row.xid))
}

/// LOWEST: where the pages of a difference begin.
pub fn lowest(postgres: &Postgres, acknowledged: Snapshot, target: Snapshot) -> i64 {
    let rows = postgres.visible();
    let found = rows.filter(|row| is_new(row, acknowledged, target));
    found.map(|row| row.position).min().unwrap_or(1) - 1
}

/// PAGE: the next rows of a difference, by position. The query sees more than `target` does.
pub fn page(
    postgres: &Postgres,
    acknowledged: Snapshot,
    target: Snapshot,
    after: i64,
    wanted: usize,
) -> Vec<Row> {
    let rows = postgres.visible().filter(|row| row.position > after);
    let found = rows
        .filter(|row| is_of_target(row, acknowledged, target))
        .copied();
    let mut found = by_position(found.collect());
    found.truncate(wanted);
    found
}

fn is_of_target(row: &Row, acknowledged: Snapshot, target: Snapshot) -> bool {
    (row.xid >= acknowledged.xmax || acknowledged.is_open(row.xid)) && target.sees(row.xid)
}

fn by_position(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_unstable_by_key(|row| row.position);
    rows
}

/// The lock on the key: whether a transaction may draw a position while others are open that have
/// these rows.
pub fn may_publish<'r>(key: Key, mut of_others: impl Iterator<Item = &'r Row>) -> bool {
    of_others.all(|row| row.event.key != key)
}

/// Whether a bucket older than the retention is emptied.
pub fn may_empty(rows: &[Row], is_written_to: bool, saved: &Cursor<Snapshot>) -> bool {
    !is_written_to && rows.iter().all(|row| row.xid < saved.acknowledged.xmin())
}
