use db::{DbError, Tx};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::schema::token_keys;

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = token_keys)]
#[diesel(check_for_backend(diesel::pg::Pg))]
pub struct TokenKey {
    pub kid: String,
    pub private: Vec<u8>,
    pub public: Vec<u8>,
}

/// All keys, the newest first.
pub async fn all(tx: &mut Tx<'_>) -> Result<Vec<TokenKey>, DbError> {
    let newest_first = token_keys::table.order((token_keys::created_at.desc(), token_keys::kid.desc()));
    Ok(newest_first.select(TokenKey::as_select()).load(&mut **tx).await?)
}

/// Adds the first key unless another replica was faster.
pub async fn add_first(tx: &mut Tx<'_>, key: &TokenKey) -> Result<(), DbError> {
    diesel::sql_query("LOCK TABLE token_keys IN EXCLUSIVE MODE")
        .execute(&mut **tx)
        .await?;
    if all(tx).await?.is_empty() {
        let added = diesel::insert_into(token_keys::table)
            .values(key)
            .execute(&mut **tx)
            .await?;
        DbError::expect_rows("adding the first token key", 1, added)?;
    }
    Ok(())
}
