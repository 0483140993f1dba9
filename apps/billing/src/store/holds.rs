use db::{DbError, Tx, cached};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use kernel::{Money, OrderId, UserId};

use super::schema::holds;
use crate::domain::hold::Hold;

/// The order's hold, locked until the transaction ends.
pub async fn lock(tx: &mut Tx<'_>, order_id: OrderId) -> Result<Option<Hold>, DbError> {
    let row = holds::table
        .find(order_id)
        .select((holds::state, holds::amount))
        .for_update();
    let row: Option<(String, Money)> = row.first(&mut **tx).await.optional()?;
    // The table's CHECK allows only these.
    Ok(row.map(|(state, amount)| match state.as_str() {
        "held" => Hold::Held(amount),
        "refused" => Hold::Refused,
        "captured" => Hold::Captured(amount),
        "released" => Hold::Released,
        "refunded" => Hold::Refunded,
        _ => Hold::Settled,
    }))
}

/// Saves what follows `before`, what [`lock`] has found. Where it found nothing, nothing was locked: if another event of
/// the order was faster, this fails, and is decided anew.
pub async fn save(
    tx: &mut Tx<'_>,
    order_id: OrderId,
    user_id: UserId,
    before: Option<Hold>,
    hold: Hold,
) -> Result<(), DbError> {
    let (state, amount) = match hold {
        Hold::Held(amount) => ("held", Some(amount)),
        Hold::Refused => ("refused", None),
        Hold::Captured(amount) => ("captured", Some(amount)),
        Hold::Released => ("released", None),
        Hold::Refunded => ("refunded", None),
        Hold::Settled => ("settled", None),
    };
    let saved = if before.is_none() {
        let new = (
            holds::order_id.eq(order_id),
            holds::user_id.eq(user_id),
            holds::state.eq(state),
            holds::amount.eq(amount.unwrap_or(Money::ZERO)),
        );
        diesel::insert_into(holds::table)
            .values(new)
            .execute(&mut **tx)
            .await?
    } else {
        let new = (holds::state.eq(state), holds::changed_at.eq(diesel::dsl::now));
        let change = diesel::update(holds::table.find(order_id)).set(new);
        cached(change).execute(&mut **tx).await?
    };
    DbError::expect_rows("saving a hold", 1, saved)
}
