use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use contracts::users::TokensVoid;
use db::{Db, DbError, Tx, cached};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{BigInt, Double, Uuid},
};
use diesel_async::RunQueryDsl;
use inbox::Delivery;
use kernel::{UserId, cause_chain};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often a replica reads which tokens other replicas have recorded as void.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// A poll reads the rows of this time. That is much longer than the interval, because a row becomes
/// visible only when its transaction commits.
const LATEST: Duration = Duration::from_secs(60);
/// How often all rows are read again and old ones are deleted. The same happens after polls failed
/// for so long that they may have missed a row.
const FULL_READ_INTERVAL: Duration = Duration::from_secs(600);

/// The first generation of a person's tokens that counts, for each person who was changed or
/// suspended, logged out or left, by the events of the service users. It is in memory, so that a
/// check costs no query, and in a table, so that each replica learns what one of them received.
#[derive(Clone)]
pub struct VoidTokens(Arc<Inner>);

struct Inner {
    db: Db,
    generations: RwLock<HashMap<UserId, i64>>,
}

#[derive(QueryableByName)]
struct VoidTokenRow {
    #[diesel(sql_type = Uuid)]
    user_id: UserId,
    #[diesel(sql_type = BigInt)]
    generation: i64,
}

impl VoidTokens {
    /// Loads the void tokens that are in the table.
    pub async fn load(db: Db) -> Result<Self, DbError> {
        let generations = RwLock::default();
        let void = Self(Arc::new(Inner { db, generations }));
        void.read_all().await?;
        Ok(void)
    }

    /// Whether a token of this person and generation is void.
    pub fn has(&self, user_id: UserId, generation: i64) -> bool {
        let generations = self
            .0
            .generations
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        generations
            .get(&user_id)
            .is_some_and(|first| generation < *first)
    }

    /// Polls the table until `stop`.
    pub async fn keep_current(self, stop: CancellationToken) {
        let (mut last_full, mut last_read) = (Instant::now(), Instant::now());
        let mut failed = false;
        while stop
            .run_until_cancelled(tokio::time::sleep(POLL_INTERVAL))
            .await
            .is_some()
        {
            let now = Instant::now();
            let is_full = now - last_full > FULL_READ_INTERVAL || now - last_read > LATEST / 2;
            let read = if is_full {
                self.read_all().await
            } else {
                self.read_latest().await
            };
            match &read {
                Ok(()) => last_read = now,
                Err(error) if !failed => {
                    tracing::warn!(
                        error = cause_chain(error),
                        "the list of void tokens cannot be read"
                    );
                }
                Err(_) => {}
            }
            if is_full && read.is_ok() {
                last_full = now;
            }
            failed = read.is_err();
        }
    }

    async fn read_all(&self) -> Result<(), DbError> {
        let rows = self
            .0
            .db
            .transaction(
                "kit.void_tokens",
                async |tx| -> Result<Vec<VoidTokenRow>, DbError> {
                    forget(tx).await?;
                    Ok(sql_query("SELECT user_id, generation FROM void_tokens")
                        .load(&mut **tx)
                        .await?)
                },
            )
            .await?;
        let rows = rows.into_iter().map(|row| (row.user_id, row.generation));
        *self
            .0
            .generations
            .write()
            .unwrap_or_else(PoisonError::into_inner) = rows.collect();
        Ok(())
    }

    async fn read_latest(&self) -> Result<(), DbError> {
        let read = async |tx: &mut Tx<'_>| -> Result<Vec<VoidTokenRow>, DbError> {
            let latest = sql_query(
                "SELECT user_id, generation FROM void_tokens
                 WHERE heard_at > now() - interval '1 second' * $1",
            )
            .bind::<Double, _>(LATEST.as_secs_f64());
            Ok(cached(latest).load(&mut **tx).await?)
        };
        let db = &self.0.db;
        let rows = db.transaction("kit.latest_void_tokens", read).await?;
        if !rows.is_empty() {
            let mut known = self
                .0
                .generations
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            known.extend(rows.into_iter().map(|row| (row.user_id, row.generation)));
        }
        Ok(())
    }
}

/// Deletes the rows whose tokens have all expired: a token lives for a day at most.
async fn forget(tx: &mut Tx<'_>) -> Result<(), DbError> {
    sql_query("DELETE FROM void_tokens WHERE heard_at < now() - interval '25 hours'")
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Handles the event that older tokens of a person are void; all services use it. The greatest
/// generation wins, so that the order of the events and repetitions do not matter.
pub async fn tokens_void<S: Sync>(
    tx: &mut Tx<'_>,
    _: &S,
    void: Delivery<TokensVoid>,
) -> Result<(), DbError> {
    let TokensVoid {
        user_id,
        generation,
    } = void.event;
    let query = sql_query(
        "INSERT INTO void_tokens AS known (user_id, generation) VALUES ($1, $2)
         ON CONFLICT (user_id) DO UPDATE
         SET generation = excluded.generation, heard_at = excluded.heard_at
         WHERE known.generation < excluded.generation",
    )
    .bind::<Uuid, _>(user_id)
    .bind::<BigInt, _>(generation);
    cached(query).execute(&mut **tx).await?;
    Ok(())
}
