use db::{DbError, Tx, cached};
use diesel::{
    OptionalExtension, QueryableByName, sql_query,
    sql_types::{BigInt, Binary, Integer},
};
use diesel_async::RunQueryDsl;
use sha2::{Digest, Sha256};

/// After how many failures in a row the account waits.
const FREE: i32 = 4;
/// Seconds that it waits the first time, then each time twice as long, and at most.
const FIRST_WAIT: i32 = 5;
const LONGEST_WAIT: i32 = 900;
/// Of how many accounts failures are remembered; beyond it the oldest are forgotten.
pub const KEPT: i64 = 100_000;

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

/// An address is not kept here, as it may be of one who never was a customer.
fn account(email: &str) -> Vec<u8> {
    Sha256::digest(email.as_bytes()).to_vec()
}

/// For how many seconds the account of this address waits, maybe 0, after failures; `None` without
/// any.
pub async fn wait(tx: &mut Tx<'_>, email: &str) -> Result<Option<u32>, DbError> {
    let query = sql_query(
        "SELECT ceil(greatest(0, extract(epoch FROM blocked_until - now())))::int AS wait
         FROM login_failures WHERE account = $1 AND failed_at > now() - interval '1 day'",
    )
    .bind::<Binary, _>(account(email));
    let failures: Option<Failures> = cached(query).get_result(&mut **tx).await.optional()?;
    Ok(failures.map(|failures| failures.wait.unsigned_abs()))
}

/// One more failed; how many have by now.
pub async fn add(tx: &mut Tx<'_>, email: &str) -> Result<i32, DbError> {
    let query = sql_query(
        "INSERT INTO login_failures AS known (account, failures) VALUES ($1, 1)
         ON CONFLICT (account) DO UPDATE SET
           failures = CASE WHEN known.failed_at > now() - interval '1 day' THEN known.failures + 1 ELSE 1 END,
           failed_at = now(),
           blocked_until = CASE
             WHEN known.failed_at > now() - interval '1 day' AND known.failures >= $2
             THEN now() + interval '1 second' * least($4, $3 * power(2, least(known.failures - $2, 20)))
             ELSE now()
           END
         RETURNING failures",
    )
    .bind::<Binary, _>(account(email))
    .bind::<Integer, _>(FREE)
    .bind::<Integer, _>(FIRST_WAIT)
    .bind::<Integer, _>(LONGEST_WAIT);
    let count: Count = cached(query).get_result(&mut **tx).await?;
    Ok(count.failures)
}

/// One was right, or the account is no more.
pub async fn forget(tx: &mut Tx<'_>, email: &str) -> Result<(), DbError> {
    let query = sql_query("DELETE FROM login_failures WHERE account = $1")
        .bind::<Binary, _>(account(email));
    cached(query).execute(&mut **tx).await?;
    Ok(())
}

/// Forgets up to `limit` failures that are a day old, or older than the newest `kept`; says how
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
