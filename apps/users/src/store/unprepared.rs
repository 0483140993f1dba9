use std::collections::BTreeSet;

use db::{DbError, Tx, lock_class};
use diesel::{
    prelude::*,
    sql_query,
    sql_types::{Array, Text, Uuid},
};
use diesel_async::RunQueryDsl;
use kernel::UserId;

use super::schema::users;

/// Accounts whose address is not prepared yet, the oldest first, with the address as it was
/// written. A lock gives them to one transaction at a time.
pub async fn some(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<(UserId, String)>, DbError> {
    sql_query("SELECT pg_advisory_xact_lock($1, $2)")
        .bind::<diesel::sql_types::Integer, _>(lock_class::USERS)
        .bind::<diesel::sql_types::Integer, _>(1)
        .execute(&mut **tx)
        .await?;
    Ok(users::table
        .filter(users::email_prepared.is_null())
        .order((users::registered_at, users::id))
        .select((users::id, users::email))
        .limit(limit)
        .load(&mut **tx)
        .await?)
}

/// The addresses among these that are taken.
pub async fn taken(tx: &mut Tx<'_>, emails: &[String]) -> Result<BTreeSet<String>, DbError> {
    let taken: Vec<Option<String>> = users::table
        .filter(users::email_prepared.eq_any(emails))
        .select(users::email_prepared)
        .load(&mut **tx)
        .await?;
    Ok(taken.into_iter().flatten().collect())
}

pub async fn save(tx: &mut Tx<'_>, people: &[(UserId, String)]) -> Result<usize, DbError> {
    let (ids, prepared): (Vec<_>, Vec<_>) = people
        .iter()
        .map(|(id, email)| (*id, email.as_str()))
        .unzip();
    let query = sql_query(
        "UPDATE users SET email_prepared = new.prepared FROM unnest($1, $2) AS new (id, prepared)
         WHERE users.id = new.id AND email_prepared IS NULL",
    )
    .bind::<Array<Uuid>, _>(ids)
    .bind::<Array<Text>, _>(prepared);
    Ok(query.execute(&mut **tx).await?)
}
