use std::{collections::BTreeMap, future::Future};

use diesel_async::AsyncPgConnection;
use futures_util::{FutureExt, future::BoxFuture};

use crate::{DbError, Gathered, Tx};

/// A row that use cases lock, decide about and save. In a transaction each is read once and written
/// once, and all of a kind in one statement, however many events share the transaction (unit of
/// work and identity map: Fowler, *Patterns of Enterprise Application Architecture*).
pub trait LockedRow: Clone + Send + Sync + 'static {
    type Key: Ord + Clone + Send + Sync;

    /// What it is, for an error.
    const WHAT: &'static str;

    /// Reads those that there are, and locks them until the transaction ends, in the order of their
    /// keys, so that two transactions never wait for each other.
    fn lock(
        conn: &mut AsyncPgConnection,
        keys: Vec<Self::Key>,
    ) -> impl Future<Output = Result<Vec<(Self::Key, Self)>, DbError>> + Send;

    /// Adds rows; how many. What is not there cannot be locked: if another transaction was faster,
    /// this must fail. Without an implementation, none is added in this way.
    fn insert(
        _: &mut AsyncPgConnection,
        _: Vec<(Self::Key, Self)>,
    ) -> impl Future<Output = Result<usize, DbError>> + Send {
        std::future::ready(Ok(0))
    }

    /// Changes rows; how many.
    fn update(
        conn: &mut AsyncPgConnection,
        rows: Vec<(Self::Key, Self)>,
    ) -> impl Future<Output = Result<usize, DbError>> + Send;
}

/// A row as its transaction knows it.
struct Known<R> {
    row: Option<R>,
    /// Whether the table has it; otherwise it is to be added.
    is_there: bool,
    is_saved: bool,
}

/// The rows of a kind that a transaction has locked.
struct Rows<R: LockedRow>(BTreeMap<R::Key, Known<R>>);

impl<R: LockedRow> Default for Rows<R> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<R: LockedRow> Gathered for Rows<R> {
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
    /// Locks and reads rows, but for those that this transaction has locked already.
    pub async fn lock_rows<R: LockedRow>(
        &mut self,
        keys: impl IntoIterator<Item = R::Key>,
    ) -> Result<(), DbError> {
        let rows: &mut Rows<R> = self.gather();
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
        let rows: &mut Rows<R> = self.gather();
        for key in keys {
            let row = found.remove(&key);
            let known = Known {
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
        self.gather::<Rows<R>>().0.get(key)?.row.as_ref()
    }

    /// Saves a row that was locked, or looked for in vain. It is written when the transaction
    /// commits.
    pub fn save_row<R: LockedRow>(&mut self, key: R::Key, row: R) {
        let rows: &mut Rows<R> = self.gather();
        let is_there = rows.0.get(&key).is_some_and(|known| known.is_there);
        let known = Known {
            row: Some(row),
            is_there,
            is_saved: true,
        };
        rows.0.insert(key, known);
    }
}
