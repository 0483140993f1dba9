use std::{
    any::Any,
    future::Future,
    ops::{Deref, DerefMut},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use diesel::{
    QueryResult,
    connection::{TransactionDepthChange, TransactionManagerStatus},
    dsl::sql,
    sql_types::Timestamptz,
};
use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection,
    TransactionManager,
};
use futures_util::future::BoxFuture;

use crate::{Db, DbError};

/// An open transaction. It has no public constructor, so a function that takes `&mut Tx` cannot run
/// outside of a transaction.
pub struct Tx<'c> {
    conn: &'c mut AsyncPgConnection,
    application: &'static str,
    when_committed: Vec<Announcement>,
    deferred: Vec<Box<dyn DeferredWrite>>,
    began_at: Option<DateTime<Utc>>,
}

/// Rows that a transaction collects, and writes right before it commits: all of a kind in one round
/// trip, and with their locks held only for a short time.
pub trait DeferredWrite: Any + Send {
    fn write(self: Box<Self>, conn: &mut AsyncPgConnection) -> BoxFuture<'_, Result<(), DbError>>;
}

type Announcement = Box<dyn FnOnce() + Send>;

impl Deref for Tx<'_> {
    type Target = AsyncPgConnection;
    fn deref(&self) -> &AsyncPgConnection {
        self.conn
    }
}
impl DerefMut for Tx<'_> {
    fn deref_mut(&mut self) -> &mut AsyncPgConnection {
        self.conn
    }
}

/// An async closure whose future is `Send`: the bound that `AsyncFnOnce` alone cannot state yet.
pub trait Work<A, R>: AsyncFnOnce(A) -> R + FnOnce(A) -> <Self as Work<A, R>>::Fut {
    type Fut: Future<Output = R>;
}
impl<F, A, Fut, R> Work<A, R> for F
where
    F: AsyncFnOnce(A) -> R + FnOnce(A) -> Fut,
    Fut: Future<Output = R>,
{
    type Fut = Fut;
}

/// A plain `async fn(A, B, C) -> Out` that can be called many times, with its future's type in
/// reach of bounds.
pub trait WorkOn<A, B, C>: Fn(A, B, C) -> <Self as WorkOn<A, B, C>>::Fut {
    type Fut: Future<Output = Self::Out>;
    type Out;
}
impl<F, A, B, C, Fut> WorkOn<A, B, C> for F
where
    F: Fn(A, B, C) -> Fut,
    Fut: Future,
{
    type Fut = Fut;
    type Out = Fut::Output;
}

enum Abort<E> {
    Work(E),
    Db(diesel::result::Error),
}
impl<E> From<diesel::result::Error> for Abort<E> {
    fn from(error: diesel::result::Error) -> Self {
        Self::Db(error)
    }
}
impl<E: From<DbError>> Abort<E> {
    fn into_error(self) -> E {
        match self {
            Self::Work(error) => error,
            Self::Db(error) => E::from(DbError::Query(error)),
        }
    }
}

impl Db {
    /// Runs `work` in the transaction `name`: READ COMMITTED, committed when `work` returns `Ok`,
    /// rolled back when it returns an error, which comes out unchanged. A future that is dropped
    /// closes its connection, which rolls back as well.
    pub async fn transaction<R, E, F>(&self, name: &'static str, work: F) -> Result<R, E>
    where
        for<'t, 'c> F: Work<&'t mut Tx<'c>, Result<R, E>, Fut: Send> + Send,
        R: Send,
        E: From<DbError> + Send,
    {
        self.transaction_after(name, "BEGIN", work).await
    }

    /// As [`Db::transaction`], but fails, as unavailable, if it waits longer than `lock_timeout`
    /// for a lock.
    pub async fn transaction_with_lock_timeout<R, E, F>(
        &self,
        name: &'static str,
        lock_timeout: Duration,
        work: F,
    ) -> Result<R, E>
    where
        for<'t, 'c> F: Work<&'t mut Tx<'c>, Result<R, E>, Fut: Send> + Send,
        R: Send,
        E: From<DbError> + Send,
    {
        let opening = format!(
            "BEGIN; SET LOCAL lock_timeout = {}",
            lock_timeout.as_millis().max(1)
        );
        self.transaction_after(name, &opening, work).await
    }

    async fn transaction_after<R, E, F>(
        &self,
        name: &'static str,
        opening: &str,
        work: F,
    ) -> Result<R, E>
    where
        for<'t, 'c> F: Work<&'t mut Tx<'c>, Result<R, E>, Fut: Send> + Send,
        R: Send,
        E: From<DbError> + Send,
    {
        let mut conn = self.connection().await.map_err(E::from)?;
        tracing::trace!(transaction = name, "begin");
        let began = Instant::now();
        AnsiTransactionManager::begin_transaction_sql(&mut *conn, opening)
            .await
            .map_err(|error| E::from(DbError::Query(error)))?;
        self.heartbeat.beat();
        let mut tx = self.tx(&mut conn);
        let failed = match work(&mut tx).await {
            Ok(value) => match tx.commit().await {
                Ok(when_committed) => {
                    self.heartbeat.beat();
                    self.observe(true, began.elapsed());
                    for announce in when_committed {
                        announce();
                    }
                    return Ok(value);
                }
                Err(error) => E::from(error),
            },
            Err(error) => error,
        };
        // If the rollback fails, the connection is lost, and the pool closes one whose transaction
        // is open.
        if let Err(error) = AnsiTransactionManager::rollback_transaction(&mut *conn).await {
            tracing::debug!(transaction = name, %error, "not rolled back");
        }
        self.observe(false, began.elapsed());
        Err(failed)
    }

    fn tx<'c>(&self, conn: &'c mut AsyncPgConnection) -> Tx<'c> {
        Tx {
            conn,
            application: self.application,
            when_committed: Vec::new(),
            deferred: Vec::new(),
            began_at: None,
        }
    }

    fn observe(&self, committed: bool, took: Duration) {
        if let Some(metrics) = &self.metrics {
            metrics.observe(committed, took);
        }
    }
}

/// Commits, or fails. PostgreSQL answers the COMMIT of a transaction in which a statement has
/// failed with ROLLBACK, which the driver takes for success. So an empty statement precedes the
/// COMMIT in the same message: it fails in such a transaction.
async fn commit(conn: &mut AsyncPgConnection) -> QueryResult<()> {
    conn.batch_execute("SELECT; COMMIT").await?;
    match AnsiTransactionManager::transaction_manager_status_mut(conn) {
        TransactionManagerStatus::Valid(status) => {
            status.change_transaction_depth(TransactionDepthChange::DecreaseDepth)
        }
        TransactionManagerStatus::InError => Err(diesel::result::Error::BrokenTransactionManager),
    }
}

impl Tx<'_> {
    /// The service whose database this is.
    pub fn application(&self) -> &'static str {
        self.application
    }

    /// The database's time when this transaction began: `now()` of its statements. Each time that
    /// is stored, or compared with a stored one, is the database's, because the clocks of replicas
    /// differ.
    pub async fn now(&mut self) -> Result<DateTime<Utc>, DbError> {
        if let Some(began_at) = self.began_at {
            return Ok(began_at);
        }
        let now = diesel::select(sql::<Timestamptz>("now()"));
        let began_at = now.get_result(&mut *self.conn).await?;
        self.began_at = Some(began_at);
        Ok(began_at)
    }

    /// Sets the `now()` that a statement of this transaction has answered, so that [`Tx::now`] need
    /// not ask for it.
    pub fn began_at(&mut self, now: DateTime<Utc>) {
        self.began_at = Some(now);
    }

    /// Runs `announce` once this transaction has committed, and never if it does not. Use it for
    /// metrics and for effects outside of the database.
    pub fn when_committed(&mut self, announce: impl FnOnce() + Send + 'static) {
        self.when_committed.push(Box::new(announce));
    }

    /// The deferred rows of a kind so far.
    pub fn deferred<D: DeferredWrite + Default>(&mut self) -> &mut D {
        let known = self
            .deferred
            .iter()
            .position(|one| (&**one as &dyn Any).is::<D>());
        let index = known.unwrap_or_else(|| {
            self.deferred.push(Box::<D>::default());
            self.deferred.len() - 1
        });
        let found: &mut dyn Any = &mut *self.deferred[index];
        found.downcast_mut().expect("it was looked for by its type")
    }

    /// Writes all deferred rows now, for a caller that cannot wait for the commit. The commit calls
    /// it, too.
    pub async fn flush(&mut self) -> Result<(), DbError> {
        for deferred in std::mem::take(&mut self.deferred) {
            deferred.write(self.conn).await?;
        }
        Ok(())
    }

    async fn commit(mut self) -> Result<Vec<Announcement>, DbError> {
        self.flush().await?;
        commit(self.conn).await.map_err(DbError::of_commit)?;
        Ok(self.when_committed)
    }

    /// Runs `work` inside a savepoint: its error rolls back what it did, and leaves the transaction
    /// usable.
    pub async fn savepoint<R, E, F>(&mut self, work: F) -> Result<R, E>
    where
        for<'t, 'c> F: Work<&'t mut Tx<'c>, Result<R, E>, Fut: Send> + Send,
        R: Send,
        E: From<DbError> + Send,
    {
        let (application, began_at) = (self.application, self.began_at);
        // Rows that were deferred before are written before those of the savepoint.
        self.flush().await?;
        let outcome: Result<(R, Vec<Announcement>), Abort<E>> = self
            .conn
            .transaction(async move |conn| {
                let mut tx = Tx {
                    conn,
                    application,
                    when_committed: Vec::new(),
                    deferred: Vec::new(),
                    began_at,
                };
                let value = work(&mut tx).await.map_err(Abort::Work)?;
                // The deferred rows belong to the savepoint, and are rolled back with it.
                tx.flush().await.map_err(E::from).map_err(Abort::Work)?;
                Ok((value, tx.when_committed))
            })
            .await;
        let (value, announcements) = outcome.map_err(Abort::into_error)?;
        self.when_committed.extend(announcements);
        Ok(value)
    }
}
