use chrono::{DateTime, Utc};
use db::{DbError, Tx, cached, lock_class};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{Binary, Bool, Double, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz},
};
use diesel_async::RunQueryDsl;
use kernel::{Class, Classify};
use serde::{Deserialize, Serialize};

use crate::{Fingerprint, IdempotencyKey};

/// A request with its caller's idempotency key.
pub struct KeyedRequest {
    /// The owner of the key: the same key of two callers is two keys.
    pub caller: String,
    pub key: IdempotencyKey,
    pub fingerprint: Fingerprint,
    pub keep_hours: u32,
}

/// The answer to the request that took effect.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StoredAnswer {
    pub status: u16,
    /// Names and values, such as `Location`.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

#[derive(Debug, thiserror::Error)]
pub enum IdempotencyError {
    #[error("this Idempotency-Key was used for another request; use a new key for a new request")]
    Mismatch,
    #[error("a request with this Idempotency-Key is still in work; try again for its answer")]
    InProgress,
    #[error(
        "the request with this Idempotency-Key took effect, and its answer was forgotten; use a \
         new key for a new request"
    )]
    Forgotten,
    #[error(transparent)]
    Db(#[from] DbError),
}

impl Classify for IdempotencyError {
    fn class(&self) -> Class {
        match self {
            Self::Mismatch => Class::Invalid,
            Self::InProgress => Class::Conflict,
            Self::Forgotten => Class::Gone,
            Self::Db(error) => error.class(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Mismatch => "idempotency_key_reused",
            Self::InProgress => "idempotency_key_in_progress",
            Self::Forgotten => "answer_forgotten",
            Self::Db(error) => error.code(),
        }
    }

    fn retry_after(&self) -> Option<u32> {
        match self {
            Self::Mismatch | Self::Forgotten => None,
            Self::InProgress => Some(1),
            Self::Db(error) => error.retry_after(),
        }
    }
}

/// What the caller of [`begin`] does with a request.
pub enum Begun<'r> {
    /// The request took effect before, with this answer.
    Replay(StoredAnswer),
    /// The request is new: do the work, then [`Reservation::complete`] in the same transaction.
    New(Reservation<'r>),
}

/// The right to do a keyed request's work, for as long as the transaction lasts.
#[must_use = "work that is not completed with its answer is done again by a retry"]
pub struct Reservation<'r>(&'r KeyedRequest);

#[derive(QueryableByName)]
struct KeyRow {
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Nullable<SmallInt>)]
    status: Option<i16>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    headers: Option<serde_json::Value>,
    #[diesel(sql_type = Nullable<Text>)]
    body: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    began_at: DateTime<Utc>,
}

/// Takes the key's lock for this transaction, and reads whether the request took effect before.
pub async fn begin<'r>(
    tx: &mut Tx<'_>,
    request: &'r KeyedRequest,
) -> Result<Begun<'r>, IdempotencyError> {
    let query = sql_query(
        "SELECT state, status, headers, body, now() AS began_at
         FROM idempotency_begin($1, $2, $3, $4, $5)",
    )
    .bind::<Text, _>(&request.caller)
    .bind::<Text, _>(request.key.as_str())
    .bind::<Binary, _>(request.fingerprint.as_bytes())
    .bind::<Double, _>(f64::from(request.keep_hours) * 3600.0)
    .bind::<Integer, _>(lock_class::IDEMPOTENCY_KEY);
    let known: KeyRow = cached(query)
        .get_result(&mut **tx)
        .await
        .map_err(DbError::from)?;
    tx.began_at(known.began_at);
    match known.state.as_str() {
        "new" => Ok(Begun::New(Reservation(request))),
        "busy" => Err(IdempotencyError::InProgress),
        "mismatch" => Err(IdempotencyError::Mismatch),
        _ if known.status == Some(FORGOTTEN) => Err(IdempotencyError::Forgotten),
        _ => Ok(Begun::Replay(known.into_answer()?)),
    }
}

/// The status that marks a forgotten answer. No request that took effect has it. A version that
/// does not know the mark answers with this status, 410 Gone, which is right as well.
const FORGOTTEN: i16 = 410;

impl KeyRow {
    fn into_answer(self) -> Result<StoredAnswer, DbError> {
        let unreadable = |error| DbError::Query(diesel::result::Error::DeserializationError(error));
        let headers = serde_json::from_value(self.headers.unwrap_or_default())
            .map_err(|e| unreadable(e.into()))?;
        let status =
            u16::try_from(self.status.unwrap_or_default()).map_err(|e| unreadable(e.into()))?;
        Ok(StoredAnswer {
            status,
            headers,
            body: self.body.unwrap_or_default(),
        })
    }
}

impl Reservation<'_> {
    /// Stores the answer in the transaction of the change that it reports.
    pub async fn complete(
        self,
        tx: &mut Tx<'_>,
        answer: &StoredAnswer,
    ) -> Result<(), IdempotencyError> {
        let headers =
            serde_json::to_value(&answer.headers).expect("pairs of strings are always JSON");
        let status = i16::try_from(answer.status).expect("an HTTP status has three digits");
        let query = sql_query(
            "INSERT INTO idempotency_keys (caller, key, fingerprint, status, headers, body)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind::<Text, _>(&self.0.caller)
        .bind::<Text, _>(self.0.key.as_str())
        .bind::<Binary, _>(self.0.fingerprint.as_bytes())
        .bind::<SmallInt, _>(status)
        .bind::<Jsonb, _>(headers)
        .bind::<Text, _>(&answer.body);
        let stored = cached(query)
            .execute(&mut **tx)
            .await
            .map_err(DbError::from)?;
        DbError::expect_rows("storing an idempotency key's answer", 1, stored)?;
        Ok(())
    }
}

/// Forgets all answers to a caller, and the caller's name; returns how many. The keys stay used: a
/// late retry is answered that the request took effect.
pub async fn forget(tx: &mut Tx<'_>, caller: &str) -> Result<usize, DbError> {
    let forgotten = sql_query(
        "UPDATE idempotency_keys
         SET caller = 'forgotten', key = idempotency_forgotten_key(caller, key),
           status = $2, headers = '[]', body = ''
         WHERE caller = $1",
    )
    .bind::<Text, _>(caller)
    .bind::<SmallInt, _>(FORGOTTEN)
    .execute(&mut **tx)
    .await?;
    Ok(forgotten)
}

/// Whether a caller's key was used, by any request.
pub async fn is_used(
    tx: &mut Tx<'_>,
    caller: &str,
    key: &str,
    keep_hours: u32,
) -> Result<bool, DbError> {
    let query = sql_query("SELECT idempotency_is_used($1, $2, $3) AS is_used")
        .bind::<Text, _>(caller)
        .bind::<Text, _>(key)
        .bind::<Double, _>(f64::from(keep_hours) * 3600.0);
    let used: Used = cached(query).get_result(&mut **tx).await?;
    Ok(used.is_used)
}

#[derive(QueryableByName)]
struct Used {
    #[diesel(sql_type = Bool)]
    is_used: bool,
}

/// Deletes up to `limit` keys, with their answers, that are older than `keep_hours`; returns how
/// many. A deleted key is free again.
pub async fn purge(tx: &mut Tx<'_>, keep_hours: u32, limit: i32) -> Result<usize, DbError> {
    let purged = sql_query(
        "DELETE FROM idempotency_keys WHERE (caller, key) IN (
           SELECT caller, key FROM idempotency_keys
           WHERE created_at < now() - make_interval(secs => $1)
           ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
    )
    .bind::<Double, _>(f64::from(keep_hours) * 3600.0)
    .bind::<Integer, _>(limit)
    .execute(&mut **tx)
    .await?;
    Ok(purged)
}
