use db::{DbError, LockedRow, Tx, UnknownValue, cached};
use diesel::{
    prelude::*,
    sql_query,
    sql_types::{Array, BigInt, Text, Uuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::{Money, UserId};

use super::schema::accounts;
use crate::domain::ledger::Balances;

const OPEN: &str = "open";
const CLOSED: &str = "closed";

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
        self.status == CLOSED
    }

    /// The account, or an error if a newer release gave it a status that is unknown here.
    fn known(self) -> Result<Self, UnknownValue> {
        let is_known = [OPEN, CLOSED].contains(&self.status.as_str());
        UnknownValue::or(
            is_known.then_some(()),
            "the status of an account",
            &self.status,
        )?;
        Ok(self)
    }

    pub fn balances(&self) -> Balances {
        Balances {
            available: self.available,
            held: self.held,
        }
    }
}

/// Opens an account. `false` if the user has one.
pub async fn open(tx: &mut Tx<'_>, user_id: UserId) -> Result<bool, DbError> {
    let known: Option<Account> = tx.lock_row(&user_id).await?;
    if known.is_some() {
        return Ok(false);
    }
    let account = Account {
        user_id,
        status: OPEN.to_owned(),
        available: Money::ZERO,
        held: Money::ZERO,
    };
    tx.save_row(user_id, account);
    Ok(true)
}

pub async fn find(tx: &mut Tx<'_>, user_id: UserId) -> Result<Option<Account>, DbError> {
    let row = accounts::table.find(user_id).select(Account::as_select());
    let found: Option<Account> = row.first(&mut **tx).await.optional()?;
    Ok(found.map(Account::known).transpose()?)
}

impl LockedRow for Account {
    type Key = UserId;
    const WHAT: &'static str = "saving accounts";

    async fn lock(
        conn: &mut AsyncPgConnection,
        ids: Vec<UserId>,
    ) -> Result<Vec<(UserId, Self)>, DbError> {
        let locked = accounts::table
            .filter(accounts::user_id.eq_any(ids))
            .order(accounts::user_id)
            .select(Self::as_select())
            .for_update();
        let found: Vec<Self> = locked.load(conn).await?;
        let known = found
            .into_iter()
            .map(|account| Ok((account.user_id, account.known()?)));
        known.collect()
    }

    async fn insert(
        conn: &mut AsyncPgConnection,
        rows: Vec<(UserId, Self)>,
    ) -> Result<usize, DbError> {
        let (ids, statuses, available, held) = columns(rows);
        let query = sql_query(
            "INSERT INTO accounts (user_id, status, available, held)
             SELECT * FROM unnest($1, $2, $3, $4)",
        )
        .bind::<Array<Uuid>, _>(ids)
        .bind::<Array<Text>, _>(statuses)
        .bind::<Array<BigInt>, _>(available)
        .bind::<Array<BigInt>, _>(held);
        Ok(cached(query).execute(conn).await?)
    }

    async fn update(
        conn: &mut AsyncPgConnection,
        rows: Vec<(UserId, Self)>,
    ) -> Result<usize, DbError> {
        let (ids, statuses, available, held) = columns(rows);
        let query = sql_query(
            "UPDATE accounts SET status = new.status, available = new.available, held = new.held
             FROM unnest($1, $2, $3, $4) AS new (id, status, available, held)
             WHERE user_id = new.id",
        )
        .bind::<Array<Uuid>, _>(ids)
        .bind::<Array<Text>, _>(statuses)
        .bind::<Array<BigInt>, _>(available)
        .bind::<Array<BigInt>, _>(held);
        Ok(cached(query).execute(conn).await?)
    }
}

type Columns = (Vec<UserId>, Vec<String>, Vec<Money>, Vec<Money>);

fn columns(rows: Vec<(UserId, Account)>) -> Columns {
    let mut columns = Columns::default();
    for (id, account) in rows {
        columns.0.push(id);
        columns.1.push(account.status);
        columns.2.push(account.available);
        columns.3.push(account.held);
    }
    columns
}

/// The account, locked until the transaction ends.
pub async fn lock(tx: &mut Tx<'_>, user_id: UserId) -> Result<Option<Account>, DbError> {
    tx.lock_row(&user_id).await
}

/// Adds a closed account for a user who has none: the tombstone that keeps a late registration from
/// opening one.
pub fn add_tombstone(tx: &mut Tx<'_>, user_id: UserId) {
    let account = Account {
        user_id,
        status: CLOSED.to_owned(),
        available: Money::ZERO,
        held: Money::ZERO,
    };
    tx.save_row(user_id, account);
}

/// Closes a locked account.
pub fn close(tx: &mut Tx<'_>, user_id: UserId) {
    let status = CLOSED.to_owned();
    let account = locked(tx, user_id);
    tx.save_row(user_id, Account { status, ..account });
}

/// Changes the balances of a locked account.
pub fn set_balances(tx: &mut Tx<'_>, user_id: UserId, Balances { available, held }: Balances) {
    let account = Account {
        available,
        held,
        ..locked(tx, user_id)
    };
    tx.save_row(user_id, account);
}

fn locked(tx: &mut Tx<'_>, user_id: UserId) -> Account {
    let account: Option<&Account> = tx.locked_row(&user_id);
    account
        .expect("an account is locked before it is changed")
        .clone()
}
