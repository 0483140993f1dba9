use contracts::{
    OrderSheet,
    billing::{Captured, Held, HoldRefused, Settled},
};
use db::Tx;
use kernel::{OrderId, UserId};

use super::BillingError;
use crate::{
    State,
    domain::hold::{self, Announcement, Decision, Hold, Input, Payer},
    store::{
        accounts::{self, Account},
        holds, ledger,
    },
};

/// An order begins: hold its total.
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
    let subject = Whose {
        order_id: order.order_id,
        user_id: order.user_id,
        sheet: Some(order),
    };
    apply(tx, state, subject, (before, account.as_ref()), input)
}

/// Everything is set aside: take the money.
pub async fn on_booked(
    tx: &mut Tx<'_>,
    state: &State,
    order: OrderSheet,
) -> Result<(), BillingError> {
    let (before, account) = lock(tx, order.order_id, order.user_id).await?;
    let subject = Whose {
        order_id: order.order_id,
        user_id: order.user_id,
        sheet: Some(order),
    };
    apply(
        tx,
        state,
        subject,
        (before, account.as_ref()),
        Input::Booked,
    )
}

/// The verdict: give back what was taken.
pub async fn on_closed(
    tx: &mut Tx<'_>,
    state: &State,
    order_id: OrderId,
    user_id: UserId,
) -> Result<(), BillingError> {
    let (before, account) = lock(tx, order_id, user_id).await?;
    let account_is_closed = account.as_ref().is_some_and(Account::is_closed);
    let subject = Whose {
        order_id,
        user_id,
        sheet: None,
    };
    let input = Input::Closed { account_is_closed };
    apply(tx, state, subject, (before, account.as_ref()), input)
}

/// The order that an input is about.
struct Whose {
    order_id: OrderId,
    user_id: UserId,
    sheet: Option<OrderSheet>,
}

/// Locks in one order everywhere: what is the order's own, then what it shares with others.
async fn lock(
    tx: &mut Tx<'_>,
    order_id: OrderId,
    user_id: UserId,
) -> Result<(Option<Hold>, Option<Account>), BillingError> {
    let hold = holds::lock(tx, order_id).await?;
    Ok((hold, accounts::lock(tx, user_id).await?))
}

/// Decides; stores; tells.
fn apply(
    tx: &mut Tx<'_>,
    state: &State,
    order: Whose,
    (before, account): (Option<Hold>, Option<&Account>),
    input: Input,
) -> Result<(), BillingError> {
    let Decision {
        hold,
        movement,
        say,
    } = hold::decide(before, input);
    if hold.is_none() {
        tracing::info!(order_id = %order.order_id, ?before, ?input, "no longer applies");
    }
    if let Some(hold) = hold {
        holds::save(tx, order.order_id, order.user_id, hold);
    }
    if let Some(movement) = movement {
        let account = account
            .expect("money is only moved for who has an account, and accounts are never removed");
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
        tell(tx, state, order, say)?;
    }
    Ok(())
}

fn tell(
    tx: &mut Tx<'_>,
    state: &State,
    order: Whose,
    say: Announcement,
) -> Result<(), BillingError> {
    let Whose {
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
            unreachable!("only events that carry the sheet lead to these")
        }
    };
    Ok(())
}
