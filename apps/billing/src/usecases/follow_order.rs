use contracts::{
    OrderSheet,
    billing::{Captured, Held, HoldRefused, Settled},
};
use db::Tx;
use kernel::{OrderId, UserId};

use super::BillingError;
use crate::{
    domain::hold::{self, Announcement, Decision, Hold, Input, Payer},
    state::State,
    store::{
        accounts::{self, Account},
        holds, ledger,
    },
};

/// Holds the total of an order that was placed.
pub async fn on_placed(
    tx: &mut Tx<'_>,
    state: &State,
    order: OrderSheet,
) -> Result<(), BillingError> {
    let (before, account) = lock(tx, order.order_id, order.user_id).await?;
    let payer = match &account {
        None => Payer::Missing,
        Some(account) if account.is_closed() => Payer::Closed,
        Some(account) => Payer::Open {
            available: account.available,
        },
    };
    let input = Input::Placed {
        total: order.total,
        payer,
    };
    let party = OrderParty {
        order_id: order.order_id,
        user_id: order.user_id,
        sheet: Some(order),
    };
    apply(tx, state, party, (before, account.as_ref()), input)
}

/// Captures the money of an order whose goods and slot are set aside.
pub async fn on_booked(
    tx: &mut Tx<'_>,
    state: &State,
    order: OrderSheet,
) -> Result<(), BillingError> {
    let (before, account) = lock(tx, order.order_id, order.user_id).await?;
    let party = OrderParty {
        order_id: order.order_id,
        user_id: order.user_id,
        sheet: Some(order),
    };
    apply(tx, state, party, (before, account.as_ref()), Input::Booked)
}

/// Gives back the money of an order that got its verdict, and answers the verdict.
pub async fn on_closed(
    tx: &mut Tx<'_>,
    state: &State,
    order_id: OrderId,
    user_id: UserId,
) -> Result<(), BillingError> {
    let (before, account) = lock(tx, order_id, user_id).await?;
    let account_is_closed = account.as_ref().is_some_and(Account::is_closed);
    let party = OrderParty {
        order_id,
        user_id,
        sheet: None,
    };
    let input = Input::Closed { account_is_closed };
    apply(tx, state, party, (before, account.as_ref()), input)
}

/// The order that an input is about, its customer, and its sheet if the input's event carries it.
struct OrderParty {
    order_id: OrderId,
    user_id: UserId,
    sheet: Option<OrderSheet>,
}

/// Locks the order's own row, then the account that it shares with other orders. All services lock
/// in this sequence, so that no two transactions wait for each other.
async fn lock(
    tx: &mut Tx<'_>,
    order_id: OrderId,
    user_id: UserId,
) -> Result<(Option<Hold>, Option<Account>), BillingError> {
    let hold = holds::lock(tx, order_id).await?;
    Ok((hold, accounts::lock(tx, user_id).await?))
}

/// Decides what an input changes, stores it and publishes it.
fn apply(
    tx: &mut Tx<'_>,
    state: &State,
    order: OrderParty,
    (before, account): (Option<Hold>, Option<&Account>),
    input: Input,
) -> Result<(), BillingError> {
    let Decision {
        hold,
        movement,
        say,
    } = hold::decide(before, input);
    if hold.is_none() {
        tracing::info!(order_id = %order.order_id, ?before, ?input, "the input no longer applies");
    }
    if let Some(hold) = hold {
        holds::save(tx, order.order_id, order.user_id, hold);
    }
    if let Some(movement) = movement {
        let account =
            account.expect("money is moved only in an account, and accounts are never removed");
        let balances = movement.apply(account.balances())?;
        ledger::record(
            tx,
            account.user_id,
            &movement,
            balances,
            Some(order.order_id),
        );
    }
    if let Some(say) = say {
        publish(tx, state, order, say)?;
    }
    Ok(())
}

fn publish(
    tx: &mut Tx<'_>,
    state: &State,
    order: OrderParty,
    say: Announcement,
) -> Result<(), BillingError> {
    let OrderParty {
        order_id,
        user_id,
        sheet,
    } = order;
    match (say, sheet) {
        (Announcement::Held, Some(order)) => outbox::publish(tx, &Held { order })?,
        (Announcement::Captured, Some(order)) => outbox::publish(tx, &Captured { order })?,
        (Announcement::HoldRefused(reason), _) => outbox::publish(
            tx,
            &HoldRefused {
                order_id,
                user_id,
                reason,
            },
        )?,
        (Announcement::Settled { released, refunded }, _) => {
            let currency = state.currency;
            outbox::publish(
                tx,
                &Settled {
                    order_id,
                    user_id,
                    released,
                    refunded,
                    currency,
                },
            )?
        }
        (Announcement::Held | Announcement::Captured, None) => {
            unreachable!("only an event that carries the sheet leads to these")
        }
    };
    Ok(())
}
