use db::{DbError, Tx};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::schema::first_passwords::{self, password_hash};

/// The hashes, in PHC form, of all first passwords that were in the settings at a start.
pub async fn all(tx: &mut Tx<'_>) -> Result<Vec<String>, DbError> {
    Ok(first_passwords::table
        .select(password_hash)
        .load(&mut **tx)
        .await?)
}

/// Keeps other replicas from making a first manager until the transaction ends.
pub async fn lock(tx: &mut Tx<'_>) -> Result<(), DbError> {
    diesel::sql_query("LOCK TABLE first_passwords IN EXCLUSIVE MODE")
        .execute(&mut **tx)
        .await?;
    Ok(())
}

pub async fn add(tx: &mut Tx<'_>, hash: &str) -> Result<(), DbError> {
    let added = diesel::insert_into(first_passwords::table)
        .values(password_hash.eq(hash))
        .execute(&mut **tx)
        .await?;
    DbError::expect_rows("noting a first password", 1, added)
}
