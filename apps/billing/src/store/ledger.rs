use chrono::{DateTime, Utc};
use db::{DbError, DeferredWrite, Tx, cached};
use diesel::{
    prelude::*,
    sql_query,
    sql_types::{Array, BigInt, Nullable, Text, Uuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::{FutureExt, future::BoxFuture};
use kernel::{Id, Money, OrderId, UserId};

use super::{accounts, schema::entry_sets};
use crate::domain::ledger::{Balances, EntrySet};

pub type EntryId = Id<Entry>;

/// A movement of a user's money in the ledger.
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

/// Movements and their postings, which are written together when the transaction commits.
#[derive(Default)]
struct UnwrittenMovements {
    ids: Vec<EntryId>,
    users: Vec<UserId>,
    kinds: Vec<&'static str>,
    amounts: Vec<Money>,
    orders: Vec<Option<OrderId>>,
    posting_sets: Vec<EntryId>,
    posting_accounts: Vec<&'static str>,
    posting_amounts: Vec<Money>,
}

impl DeferredWrite for UnwrittenMovements {
    fn write(self: Box<Self>, conn: &mut AsyncPgConnection) -> BoxFuture<'_, Result<(), DbError>> {
        let (movements, postings) = (self.ids.len(), self.posting_sets.len());
        let record = sql_query(
            "INSERT INTO entry_sets (id, user_id, kind, amount, order_id)
             SELECT * FROM unnest($1, $2, $3, $4, $5)",
        )
        .bind::<Array<Uuid>, _>(self.ids)
        .bind::<Array<Uuid>, _>(self.users)
        .bind::<Array<Text>, _>(self.kinds)
        .bind::<Array<BigInt>, _>(self.amounts)
        .bind::<Array<Nullable<Uuid>>, _>(self.orders);
        let post = sql_query(
            "INSERT INTO postings (entry_set_id, account, amount) SELECT * FROM unnest($1, $2, $3)",
        )
        .bind::<Array<Uuid>, _>(self.posting_sets)
        .bind::<Array<Text>, _>(self.posting_accounts)
        .bind::<Array<BigInt>, _>(self.posting_amounts);
        async move {
            let recorded = cached(record).execute(conn).await?;
            DbError::expect_rows("recording movements", movements, recorded)?;
            let posted = cached(post).execute(conn).await?;
            DbError::expect_rows("posting movements", postings, posted)
        }
        .boxed()
    }
}

/// Records a movement of a locked account's money, and the balances after it.
pub fn record(
    tx: &mut Tx<'_>,
    user_id: UserId,
    movement: &EntrySet,
    balances: Balances,
    order_id: Option<OrderId>,
) -> EntryId {
    accounts::set_balances(tx, user_id, balances);
    let id = EntryId::new();
    let unwritten: &mut UnwrittenMovements = tx.deferred();
    unwritten.ids.push(id);
    unwritten.users.push(user_id);
    unwritten.kinds.push(movement.kind.as_str());
    unwritten.amounts.push(movement.seen_by_owner());
    unwritten.orders.push(order_id);
    for (account, amount) in movement.postings() {
        unwritten.posting_sets.push(id);
        unwritten.posting_accounts.push(account.as_str());
        unwritten.posting_amounts.push(amount);
    }
    id
}

/// A user's movements that are older than `after`, the newest first.
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
