use std::{collections::BTreeMap, future::Future};

use diesel_async::AsyncPgConnection;
use futures_util::{FutureExt, future::BoxFuture};

use crate::{DbError, Gathered, Tx};

/// A row that use cases lock, decide about and save. In a transaction each is read once and written once, and all of a kind in one
/// statement, however many events share the transaction (unit of work and identity map: Fowler, *Patterns of Enterprise Application
/// Architecture*).
pub trait LockedRow: Clone + Send + Sync + 'static {
    type Key: Ord + Clone + Send + Sync;

    /// What it is, for an error.
    const WHAT: &'static str;

    /// Reads those that there are, and locks them until the transaction ends, in the order of their keys, so that two
    /// transactions never wait for each other.
    fn lock(
        conn: &mut AsyncPgConnection,
        keys: Vec<Self::Key>,
    ) -> impl Future<Output = Result<Vec<(Self::Key, Self)>, DbError>> + Send;

    /// Adds rows; how many. What is not there cannot be locked: if another transaction was faster, this must fail. Without an
    /// implementation, none is added in this way.
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

/// The rows of a kind that a transaction has locked.
struct Rows<R: LockedRow> {
    known: BTreeMap<R::Key, Option<R>>,
    new: BTreeMap<R::Key, R>,
    changed: BTreeMap<R::Key, R>,
}

impl<R: LockedRow> Default for Rows<R> {
    fn default() -> Self {
        Self {
            known: BTreeMap::new(),
            new: BTreeMap::new(),
            changed: BTreeMap::new(),
        }
    }
}

impl<R: LockedRow> Gathered for Rows<R> {
    fn write(self: Box<Self>, conn: &mut AsyncPgConnection) -> BoxFuture<'_, Result<(), DbError>> {
        async move {
            if !self.new.is_empty() {
                let expected = self.new.len();
                let added = R::insert(conn, self.new.into_iter().collect()).await?;
                DbError::expect_rows(R::WHAT, expected, added)?;
            }
            if !self.changed.is_empty() {
                let expected = self.changed.len();
                let changed = R::update(conn, self.changed.into_iter().collect()).await?;
                DbError::expect_rows(R::WHAT, expected, changed)?;
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
            .filter(|key| !rows.known.contains_key(key))
            .collect();
        keys.sort();
        keys.dedup();
        if keys.is_empty() {
            return Ok(());
        }
        let found = R::lock(&mut *self, keys.clone()).await?;
        let rows: &mut Rows<R> = self.gather();
        rows.known.extend(keys.into_iter().map(|key| (key, None)));
        rows.known
            .extend(found.into_iter().map(|(key, row)| (key, Some(row))));
        Ok(())
    }

    /// The row of a key, locked until the transaction ends.
    pub async fn lock_row<R: LockedRow>(&mut self, key: &R::Key) -> Result<Option<R>, DbError> {
        self.lock_rows::<R>([key.clone()]).await?;
        Ok(self.locked_row(key).cloned())
    }

    /// The row of a key, if this transaction has locked it.
    pub fn locked_row<R: LockedRow>(&mut self, key: &R::Key) -> Option<&R> {
        self.gather::<Rows<R>>().known.get(key)?.as_ref()
    }

    /// Saves a row that was locked, or looked for in vain. It is written when the transaction commits.
    pub fn save_row<R: LockedRow>(&mut self, key: R::Key, row: R) {
        let rows: &mut Rows<R> = self.gather();
        let known = rows.known.insert(key.clone(), Some(row.clone()));
        let is_new = rows.new.contains_key(&key) || known.flatten().is_none();
        let to_write = if is_new { &mut rows.new } else { &mut rows.changed };
        to_write.insert(key, row);
    }
}
