use std::{collections::BTreeMap, future::Future};

use diesel_async::AsyncPgConnection;
use futures_util::{FutureExt, future::BoxFuture};

use crate::{DbError, DeferredWrite, Tx};

/// A row that use cases lock, decide about and save. In a transaction each is read once and written
/// once, and all of a kind in one statement, however many events share the transaction (unit of
/// work and identity map: Fowler, *Patterns of Enterprise Application Architecture*).
pub trait LockedRow: Clone + Send + Sync + 'static {
    type Key: Ord + Clone + Send + Sync;

    /// The name of such a row, for an error.
    const WHAT: &'static str;

    /// Reads the rows that exist, and locks them until the transaction ends, in the order of their
    /// keys, so that two transactions never wait for each other.
    fn lock(
        conn: &mut AsyncPgConnection,
        keys: Vec<Self::Key>,
    ) -> impl Future<Output = Result<Vec<(Self::Key, Self)>, DbError>> + Send;

    /// Adds rows; returns how many. A missing row cannot be locked, so this must fail if another
    /// transaction has added it first. Without an implementation it adds none, and saving a new row
    /// fails.
    fn insert(
        _: &mut AsyncPgConnection,
        _: Vec<(Self::Key, Self)>,
    ) -> impl Future<Output = Result<usize, DbError>> + Send {
        std::future::ready(Ok(0))
    }

    /// Changes rows; returns how many.
    fn update(
        conn: &mut AsyncPgConnection,
        rows: Vec<(Self::Key, Self)>,
    ) -> impl Future<Output = Result<usize, DbError>> + Send;
}

/// A row as its transaction knows it.
struct TrackedRow<R> {
    row: Option<R>,
    /// Whether the table has it; otherwise saving adds it.
    is_there: bool,
    is_saved: bool,
}

/// The rows of a kind that a transaction has locked.
struct Rows<R: LockedRow>(BTreeMap<R::Key, TrackedRow<R>>);

impl<R: LockedRow> Default for Rows<R> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<R: LockedRow> DeferredWrite for Rows<R> {
    fn write(self: Box<Self>, conn: &mut AsyncPgConnection) -> BoxFuture<'_, Result<(), DbError>> {
        let (mut new, mut changed) = (Vec::new(), Vec::new());
        for (key, known) in self.0 {
            if let (true, Some(row)) = (known.is_saved, known.row) {
                let to_write = if known.is_there {
                    &mut changed
                } else {
                    &mut new
                };
                to_write.push((key, row));
            }
        }
        async move {
            if !new.is_empty() {
                let expected = new.len();
                DbError::expect_rows(R::WHAT, expected, R::insert(conn, new).await?)?;
            }
            if !changed.is_empty() {
                let expected = changed.len();
                DbError::expect_rows(R::WHAT, expected, R::update(conn, changed).await?)?;
            }
            Ok(())
        }
        .boxed()
    }
}

impl Tx<'_> {
    /// Locks and reads rows, except those that this transaction has locked already.
    pub async fn lock_rows<R: LockedRow>(
        &mut self,
        keys: impl IntoIterator<Item = R::Key>,
    ) -> Result<(), DbError> {
        let rows: &mut Rows<R> = self.deferred();
        let mut keys: Vec<R::Key> = keys
            .into_iter()
            .filter(|key| !rows.0.contains_key(key))
            .collect();
        keys.sort();
        keys.dedup();
        if keys.is_empty() {
            return Ok(());
        }
        let mut found: BTreeMap<R::Key, R> = R::lock(&mut *self, keys.clone())
            .await?
            .into_iter()
            .collect();
        let rows: &mut Rows<R> = self.deferred();
        for key in keys {
            let row = found.remove(&key);
            let known = TrackedRow {
                is_there: row.is_some(),
                is_saved: false,
                row,
            };
            rows.0.insert(key, known);
        }
        Ok(())
    }

    /// The row of a key, locked until the transaction ends.
    pub async fn lock_row<R: LockedRow>(&mut self, key: &R::Key) -> Result<Option<R>, DbError> {
        self.lock_rows::<R>([key.clone()]).await?;
        Ok(self.locked_row(key).cloned())
    }

    /// The row of a key, if this transaction has locked it.
    pub fn locked_row<R: LockedRow>(&mut self, key: &R::Key) -> Option<&R> {
        self.deferred::<Rows<R>>().0.get(key)?.row.as_ref()
    }

    /// Saves a row that was locked, or adds one that was looked for and did not exist. It is
    /// written when the transaction commits.
    pub fn save_row<R: LockedRow>(&mut self, key: R::Key, row: R) {
        let rows: &mut Rows<R> = self.deferred();
        let is_there = rows.0.get(&key).is_some_and(|known| known.is_there);
        let known = TrackedRow {
            row: Some(row),
            is_there,
            is_saved: true,
        };
        rows.0.insert(key, known);
    }
}
