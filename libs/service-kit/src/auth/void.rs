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

/// How often a replica looks what another one has heard.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What a look reads: more than was heard since the last one, since a transaction shows what it
/// wrote when it commits.
const LATEST: Duration = Duration::from_secs(60);
/// How often all is read again, and what is old is forgotten; and after a pause in which something
/// may have been missed.
const WHOLE_EVERY: Duration = Duration::from_secs(600);

/// From which generation on the tokens of a person count: what users told of those who changed,
/// were suspended, logged out or left. In memory, so that to look at a token costs no query; from a
/// table, so that each replica learns what one has heard.
#[derive(Clone)]
pub struct VoidTokens(Arc<Inner>);

struct Inner {
    db: Db,
    generations: RwLock<HashMap<UserId, i64>>,
}

#[derive(QueryableByName)]
struct Heard {
    #[diesel(sql_type = Uuid)]
    user_id: UserId,
    #[diesel(sql_type = BigInt)]
    generation: i64,
}

impl VoidTokens {
    /// With all that was heard so far.
    pub async fn load(db: Db) -> Result<Self, DbError> {
        let generations = RwLock::default();
        let void = Self(Arc::new(Inner { db, generations }));
        void.read_all().await?;
        Ok(void)
    }

    /// Whether a token of this person and generation does not count any more.
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

    /// Learns what any replica hears, until `stop`.
    pub async fn keep_current(self, stop: CancellationToken) {
        let (mut whole, mut latest) = (Instant::now(), Instant::now());
        let mut failed = false;
        while stop
            .run_until_cancelled(tokio::time::sleep(LOOK_EVERY))
            .await
            .is_some()
        {
            let now = Instant::now();
            let is_whole = now - whole > WHOLE_EVERY || now - latest > LATEST / 2;
            let looked = if is_whole {
                self.read_all().await
            } else {
                self.read_latest().await
            };
            match &looked {
                Ok(()) => latest = now,
                Err(error) if !failed => {
                    tracing::warn!(
                        error = cause_chain(error),
                        "it is not known whose tokens are void now"
                    );
                }
                Err(_) => {}
            }
            if is_whole && looked.is_ok() {
                whole = now;
            }
            failed = looked.is_err();
        }
    }

    async fn read_all(&self) -> Result<(), DbError> {
        let heard = self
            .0
            .db
            .transaction(
                "kit.void_tokens",
                async |tx| -> Result<Vec<Heard>, DbError> {
                    forget(tx).await?;
                    Ok(sql_query("SELECT user_id, generation FROM void_tokens")
                        .load(&mut **tx)
                        .await?)
                },
            )
            .await?;
        let heard = heard
            .into_iter()
            .map(|heard| (heard.user_id, heard.generation));
        *self
            .0
            .generations
            .write()
            .unwrap_or_else(PoisonError::into_inner) = heard.collect();
        Ok(())
    }

    async fn read_latest(&self) -> Result<(), DbError> {
        let heard = self
            .0
            .db
            .transaction("kit.latest_void_tokens", async |tx| -> Result<Vec<Heard>, DbError> {
                let latest = sql_query(
                    "SELECT user_id, generation FROM void_tokens WHERE heard_at > now() - interval '1 second' * $1",
                )
                .bind::<Double, _>(LATEST.as_secs_f64());
                Ok(cached(latest).load(&mut **tx).await?)
            })
            .await?;
        if !heard.is_empty() {
            let mut known = self
                .0
                .generations
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            known.extend(
                heard
                    .into_iter()
                    .map(|heard| (heard.user_id, heard.generation)),
            );
        }
        Ok(())
    }
}

/// Forgets whose tokens have all expired by now: none lives longer than a day.
async fn forget(tx: &mut Tx<'_>) -> Result<(), DbError> {
    sql_query("DELETE FROM void_tokens WHERE heard_at < now() - interval '25 hours'")
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Hears that tokens of a person do not count any more. The one handler of all services: the
/// greatest generation is right, in whatever order they are told, and however often.
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
         ON CONFLICT (user_id) DO UPDATE SET generation = excluded.generation, heard_at = excluded.heard_at
         WHERE known.generation < excluded.generation",
    )
    .bind::<Uuid, _>(user_id)
    .bind::<BigInt, _>(generation);
    cached(query).execute(&mut **tx).await?;
    Ok(())
}
