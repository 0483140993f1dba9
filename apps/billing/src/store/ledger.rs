use chrono::{DateTime, Utc};
use db::{DbError, Tx, cached};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use kernel::{Id, Money, OrderId, UserId};

use super::{
    accounts,
    schema::{entry_sets, postings},
};
use crate::domain::ledger::{Balances, EntrySet};

pub type EntryId = Id<Entry>;

/// A movement as it lies in the ledger.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = entry_sets)]
#[diesel(check_for_backend(diesel::pg::Pg))]
pub struct Entry {
    pub id: EntryId,
    pub at: DateTime<Utc>,
    pub kind: String,
    pub amount: Money,
    pub order_id: Option<OrderId>,
}

/// Records a movement of a locked account's money, and the balances that it leads to.
pub async fn record(
    tx: &mut Tx<'_>,
    user_id: UserId,
    movement: &EntrySet,
    balances: Balances,
    order_id: Option<OrderId>,
) -> Result<EntryId, DbError> {
    let id = EntryId::new();
    let set = (
        entry_sets::id.eq(id),
        entry_sets::user_id.eq(user_id),
        entry_sets::kind.eq(movement.kind.as_str()),
        entry_sets::amount.eq(movement.seen_by_owner()),
        entry_sets::order_id.eq(order_id),
    );
    let added = diesel::insert_into(entry_sets::table)
        .values(set)
        .execute(&mut **tx)
        .await?;
    DbError::expect_rows("recording a movement", 1, added)?;
    let lines = movement.postings().map(|(account, amount)| {
        (
            postings::entry_set_id.eq(id),
            postings::account.eq(account.as_str()),
            postings::amount.eq(amount),
        )
    });
    let posting = diesel::insert_into(postings::table).values(lines.to_vec());
    let posted = cached(posting).execute(&mut **tx).await?;
    DbError::expect_rows("posting a movement", 2, posted)?;
    accounts::set_balances(tx, user_id, balances).await?;
    Ok(id)
}

/// A user's movements before `after`, the newest first.
pub async fn of_user(
    tx: &mut Tx<'_>,
    user_id: UserId,
    after: Option<EntryId>,
    limit: i64,
) -> Result<Vec<Entry>, DbError> {
    let mut entries = entry_sets::table
        .filter(entry_sets::user_id.eq(user_id))
        .into_boxed();
    if let Some(after) = after {
        entries = entries.filter(entry_sets::id.lt(after));
    }
    Ok(entries
        .order(entry_sets::id.desc())
        .limit(limit)
        .select(Entry::as_select())
        .load(&mut **tx)
        .await?)
}
