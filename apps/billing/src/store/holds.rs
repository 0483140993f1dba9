use db::{DbError, LockedRow, Tx, UnknownValue, cached};
use diesel::{
    prelude::*,
    sql_query,
    sql_types::{Array, BigInt, Text, Uuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::{Money, OrderId, UserId};

use super::schema::holds;
use crate::domain::hold::Hold;

/// A row of the table `holds`.
#[derive(Clone)]
pub struct HoldRow {
    user_id: UserId,
    hold: Hold,
    /// The money that was held; it stays when the hold ends.
    amount: Money,
}

fn from_columns(state: &str, amount: Money) -> Result<Hold, UnknownValue> {
    let hold = match state {
        "held" => Some(Hold::Held(amount)),
        "refused" => Some(Hold::Refused),
        "captured" => Some(Hold::Captured(amount)),
        "released" => Some(Hold::Released),
        "refunded" => Some(Hold::Refunded),
        "settled" => Some(Hold::Settled),
        _ => None,
    };
    UnknownValue::or(hold, "the state of a hold", state)
}

const fn to_text(hold: Hold) -> &'static str {
    match hold {
        Hold::Held(_) => "held",
        Hold::Refused => "refused",
        Hold::Captured(_) => "captured",
        Hold::Released => "released",
        Hold::Refunded => "refunded",
        Hold::Settled => "settled",
    }
}

impl LockedRow for HoldRow {
    type Key = OrderId;
    const WHAT: &'static str = "saving holds";

    async fn lock(
        conn: &mut AsyncPgConnection,
        ids: Vec<OrderId>,
    ) -> Result<Vec<(OrderId, Self)>, DbError> {
        let locked = holds::table
            .filter(holds::order_id.eq_any(ids))
            .order(holds::order_id)
            .select((holds::order_id, holds::user_id, holds::state, holds::amount))
            .for_update();
        let found: Vec<(OrderId, UserId, String, Money)> = locked.load(conn).await?;
        let rows = found.into_iter().map(|(id, user_id, state, amount)| {
            let row = Self {
                user_id,
                hold: from_columns(&state, amount)?,
                amount,
            };
            Ok((id, row))
        });
        rows.collect()
    }

    async fn insert(
        conn: &mut AsyncPgConnection,
        rows: Vec<(OrderId, Self)>,
    ) -> Result<usize, DbError> {
        let (mut ids, mut users) = (Vec::new(), Vec::new());
        let (mut states, mut amounts) = (Vec::new(), Vec::new());
        for (id, row) in rows {
            ids.push(id);
            users.push(row.user_id);
            states.push(to_text(row.hold));
            amounts.push(row.amount);
        }
        let query = sql_query(
            "INSERT INTO holds (order_id, user_id, state, amount)
             SELECT * FROM unnest($1, $2, $3, $4)",
        )
        .bind::<Array<Uuid>, _>(ids)
        .bind::<Array<Uuid>, _>(users)
        .bind::<Array<Text>, _>(states)
        .bind::<Array<BigInt>, _>(amounts);
        Ok(cached(query).execute(conn).await?)
    }

    async fn update(
        conn: &mut AsyncPgConnection,
        rows: Vec<(OrderId, Self)>,
    ) -> Result<usize, DbError> {
        let (ids, states): (Vec<_>, Vec<_>) = rows
            .into_iter()
            .map(|(id, row)| (id, to_text(row.hold)))
            .unzip();
        let query = sql_query(
            "UPDATE holds SET state = new.state, changed_at = now()
             FROM unnest($1, $2) AS new (id, state) WHERE order_id = new.id",
        )
        .bind::<Array<Uuid>, _>(ids)
        .bind::<Array<Text>, _>(states);
        Ok(cached(query).execute(conn).await?)
    }
}

/// The order's hold, locked until the transaction ends.
pub async fn lock(tx: &mut Tx<'_>, order_id: OrderId) -> Result<Option<Hold>, DbError> {
    let row: Option<HoldRow> = tx.lock_row(&order_id).await?;
    Ok(row.map(|row| row.hold))
}

/// Saves the state that follows the one that [`lock`] found. Where [`lock`] found no row, it locked
/// nothing: if another event of the order was faster, the commit fails, and the event is applied
/// again.
pub fn save(tx: &mut Tx<'_>, order_id: OrderId, user_id: UserId, hold: Hold) {
    let before = tx.locked_row(&order_id).map(|row: &HoldRow| row.amount);
    let amount = match (before, hold) {
        (Some(amount), _) | (None, Hold::Held(amount) | Hold::Captured(amount)) => amount,
        (None, _) => Money::ZERO,
    };
    let row = HoldRow {
        user_id,
        hold,
        amount,
    };
    tx.save_row(order_id, row);
}
