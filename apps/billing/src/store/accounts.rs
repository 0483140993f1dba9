use db::{DbError, Tx, cached};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use kernel::{Money, UserId};

use super::schema::accounts;
use crate::domain::ledger::Balances;

#[derive(Clone, Queryable, Selectable)]
#[diesel(table_name = accounts)]
#[diesel(check_for_backend(diesel::pg::Pg))]
pub struct Account {
    pub user_id: UserId,
    pub status: String,
    pub available: Money,
    pub held: Money,
}

impl Account {
    pub fn is_closed(&self) -> bool {
        self.status == "closed"
    }

    pub fn balances(&self) -> Balances {
        Balances {
            available: self.available,
            held: self.held,
        }
    }
}

/// Opens an account; `false` if there is one.
pub async fn open(tx: &mut Tx<'_>, user_id: UserId) -> Result<bool, DbError> {
    let new = (accounts::user_id.eq(user_id), accounts::status.eq("open"));
    let opened = diesel::insert_into(accounts::table)
        .values(new)
        .on_conflict_do_nothing()
        .execute(&mut **tx)
        .await?;
    Ok(opened == 1)
}

pub async fn find(tx: &mut Tx<'_>, user_id: UserId) -> Result<Option<Account>, DbError> {
    Ok(accounts::table
        .find(user_id)
        .select(Account::as_select())
        .first(&mut **tx)
        .await
        .optional()?)
}

/// The account with its row locked until the transaction ends.
pub async fn lock(tx: &mut Tx<'_>, user_id: UserId) -> Result<Option<Account>, DbError> {
    let locked = accounts::table
        .find(user_id)
        .select(Account::as_select())
        .for_update();
    Ok(locked.first(&mut **tx).await.optional()?)
}

pub async fn close(tx: &mut Tx<'_>, user_id: UserId) -> Result<(), DbError> {
    let closed = diesel::update(accounts::table.find(user_id))
        .set(accounts::status.eq("closed"))
        .execute(&mut **tx);
    DbError::expect_rows("closing an account", 1, closed.await?)
}

pub async fn set_balances(tx: &mut Tx<'_>, user_id: UserId, balances: Balances) -> Result<(), DbError> {
    let new = (
        accounts::available.eq(balances.available),
        accounts::held.eq(balances.held),
    );
    let change = diesel::update(accounts::table.find(user_id)).set(new);
    let changed = cached(change).execute(&mut **tx).await?;
    DbError::expect_rows("changing an account's balances", 1, changed)
}
