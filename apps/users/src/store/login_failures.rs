use db::{DbError, Tx, cached};
use diesel::{
    OptionalExtension, QueryableByName, sql_query,
    sql_types::{BigInt, Binary, Integer},
};
use diesel_async::RunQueryDsl;
use sha2::{Digest, Sha256};

/// Failures in a row that are free; after more, the account has to wait.
const FREE_FAILURES: i32 = 4;
/// Seconds of the first wait; each further one is twice as long.
const FIRST_WAIT_SECONDS: i32 = 5;
/// Seconds of a wait at most: long enough against guessing, short enough for the owner.
const WAIT_MAX_SECONDS: i32 = 900;
/// Accounts whose failures are remembered; beyond it the oldest are deleted, so that a flood does
/// not fill the table.
pub const REMEMBERED_MAX: i64 = 100_000;

#[derive(QueryableByName)]
struct Failures {
    #[diesel(sql_type = Integer)]
    wait: i32,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = Integer)]
    failures: i32,
}

/// The key of an address: its hash. The address itself may belong to a person who is no user, and
/// is not kept.
fn account(email: &str) -> Vec<u8> {
    Sha256::digest(email.as_bytes()).to_vec()
}

/// Seconds for which this address has to wait after failures, maybe 0; `None` without failures.
pub async fn wait(tx: &mut Tx<'_>, email: &str) -> Result<Option<u32>, DbError> {
    let query = sql_query(
        "SELECT ceil(greatest(0, extract(epoch FROM blocked_until - now())))::int AS wait
         FROM login_failures WHERE account = $1 AND failed_at > now() - interval '1 day'",
    )
    .bind::<Binary, _>(account(email));
    let failures: Option<Failures> = cached(query).get_result(&mut **tx).await.optional()?;
    Ok(failures.map(|failures| failures.wait.unsigned_abs()))
}

/// Adds a failure, and returns how many there are.
pub async fn add(tx: &mut Tx<'_>, email: &str) -> Result<i32, DbError> {
    let query = sql_query(
        "INSERT INTO login_failures AS known (account, failures) VALUES ($1, 1)
         ON CONFLICT (account) DO UPDATE SET
           failures = CASE
             WHEN known.failed_at > now() - interval '1 day' THEN known.failures + 1
             ELSE 1
           END,
           failed_at = now(),
           blocked_until = CASE
             WHEN known.failed_at > now() - interval '1 day' AND known.failures >= $2
             THEN now()
               + interval '1 second' * least($4, $3 * power(2, least(known.failures - $2, 20)))
             ELSE now()
           END
         RETURNING failures",
    )
    .bind::<Binary, _>(account(email))
    .bind::<Integer, _>(FREE_FAILURES)
    .bind::<Integer, _>(FIRST_WAIT_SECONDS)
    .bind::<Integer, _>(WAIT_MAX_SECONDS);
    let count: Count = cached(query).get_result(&mut **tx).await?;
    Ok(count.failures)
}

/// Forgets the failures of an address: a log-in succeeded, or the account was deleted.
pub async fn forget(tx: &mut Tx<'_>, email: &str) -> Result<(), DbError> {
    let query = sql_query("DELETE FROM login_failures WHERE account = $1")
        .bind::<Binary, _>(account(email));
    cached(query).execute(&mut **tx).await?;
    Ok(())
}

/// Deletes up to `limit` failures that are a day old, or older than the newest `kept`. Returns how
/// many.
pub async fn purge(tx: &mut Tx<'_>, kept: i64, limit: i64) -> Result<usize, DbError> {
    let purged = sql_query(
        "DELETE FROM login_failures WHERE account IN (
           SELECT account FROM login_failures
           WHERE failed_at < greatest(now() - interval '1 day',
             (SELECT failed_at FROM login_failures ORDER BY failed_at DESC OFFSET $1 - 1 LIMIT 1))
           ORDER BY failed_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
    )
    .bind::<BigInt, _>(kept)
    .bind::<BigInt, _>(limit)
    .execute(&mut **tx)
    .await?;
    Ok(purged)
}
