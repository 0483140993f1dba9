use chrono::{DateTime, Utc};
use db::{DbError, Tx};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::schema::token_keys;

#[derive(Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = token_keys)]
#[diesel(check_for_backend(diesel::pg::Pg))]
pub struct TokenKey {
    pub kid: String,
    /// The private part in plain text, if an earlier release made the key; otherwise empty.
    pub private: Vec<u8>,
    pub public: Vec<u8>,
    pub created_at: DateTime<Utc>,
    /// The private part, encrypted.
    pub sealed: Option<Vec<u8>>,
    /// Whether the key signs, by the replica that polled last. For operators.
    pub signs: bool,
}

/// All keys, the newest first.
pub async fn all(tx: &mut Tx<'_>) -> Result<Vec<TokenKey>, DbError> {
    let newest_first =
        token_keys::table.order((token_keys::created_at.desc(), token_keys::kid.desc()));
    Ok(newest_first
        .select(TokenKey::as_select())
        .load(&mut **tx)
        .await?)
}

/// Keeps other replicas from changing the keys until the transaction ends. Returns the number of
/// keys.
pub async fn lock(tx: &mut Tx<'_>) -> Result<usize, DbError> {
    diesel::sql_query("LOCK TABLE token_keys IN EXCLUSIVE MODE")
        .execute(&mut **tx)
        .await?;
    Ok(all(tx).await?.len())
}

pub async fn add(tx: &mut Tx<'_>, key: &TokenKey) -> Result<(), DbError> {
    let added = diesel::insert_into(token_keys::table)
        .values(key)
        .execute(&mut **tx)
        .await?;
    DbError::expect_rows("adding a token key", 1, added)
}

/// Stores a key encrypted anew, unless it was removed meanwhile.
pub async fn seal(tx: &mut Tx<'_>, kid: &str, sealed: &[u8]) -> Result<(), DbError> {
    diesel::update(token_keys::table.find(kid))
        .set(token_keys::sealed.eq(sealed))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Notes for operators that this key signs.
pub async fn note_that_it_signs(tx: &mut Tx<'_>, kid: &str) -> Result<(), DbError> {
    diesel::update(token_keys::table.filter(token_keys::signs.ne(token_keys::kid.eq(kid))))
        .set(token_keys::signs.eq(token_keys::kid.eq(kid)))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

pub async fn remove(tx: &mut Tx<'_>, kid: &str) -> Result<(), DbError> {
    let removed = diesel::delete(token_keys::table.find(kid))
        .execute(&mut **tx)
        .await?;
    DbError::expect_rows("removing a token key", 1, removed)
}
