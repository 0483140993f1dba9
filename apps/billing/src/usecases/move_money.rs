use contracts::billing::{ToppedUp, Withdrawn};
use db::Tx;
use kernel::{Currency, Money, UserId};
use serde::Serialize;
use utoipa::ToSchema;

use super::BillingError;
use crate::{
    State,
    domain::ledger::EntrySet,
    store::{
        accounts,
        ledger::{self, EntryId},
    },
};

/// Money that its owner brings or takes.
pub struct MoveMoney {
    pub user_id: UserId,
    pub amount: Money,
}

/// What was moved, and what is available now.
#[derive(Debug, Serialize, ToSchema)]
pub struct MovedView {
    pub id: EntryId,
    pub amount: Money,
    pub currency: Currency,
    pub available: Money,
}

pub async fn top_up(
    tx: &mut Tx<'_>,
    state: &State,
    wish: &MoveMoney,
) -> Result<MovedView, BillingError> {
    let moved = move_money(tx, state, wish, EntrySet::top_up(wish.amount)).await?;
    let (user_id, amount, currency) = (wish.user_id, wish.amount, state.currency);
    outbox::publish(
        tx,
        &ToppedUp {
            user_id,
            amount,
            currency,
        },
    )?;
    Ok(moved)
}

pub async fn withdraw(
    tx: &mut Tx<'_>,
    state: &State,
    wish: &MoveMoney,
) -> Result<MovedView, BillingError> {
    let moved = move_money(tx, state, wish, EntrySet::withdrawal(wish.amount)).await?;
    let (user_id, amount, currency) = (wish.user_id, wish.amount, state.currency);
    outbox::publish(
        tx,
        &Withdrawn {
            user_id,
            amount,
            currency,
        },
    )?;
    Ok(moved)
}

async fn move_money(
    tx: &mut Tx<'_>,
    state: &State,
    wish: &MoveMoney,
    movement: EntrySet,
) -> Result<MovedView, BillingError> {
    if !wish.amount.is_valid_input() {
        return Err(BillingError::InvalidAmount);
    }
    let account = accounts::lock(tx, wish.user_id)
        .await?
        .ok_or(BillingError::AccountNotOpenYet)?;
    if account.is_closed() {
        return Err(BillingError::AccountClosed);
    }
    let balances = movement.apply(account.balances())?;
    let id = ledger::record(tx, wish.user_id, &movement, balances, None);
    Ok(MovedView {
        id,
        amount: wish.amount,
        currency: state.currency,
        available: balances.available,
    })
}
