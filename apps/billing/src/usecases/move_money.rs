use contracts::billing::{ToppedUp, Withdrawn};
use db::Tx;
use kernel::{Currency, Money, UserId};
use serde::Serialize;
use utoipa::ToSchema;

use super::BillingError;
use crate::{
    domain::ledger::EntrySet,
    state::State,
    store::{
        accounts,
        ledger::{self, EntryId},
    },
};

/// Money that a user brings or takes.
pub struct MoveMoney {
    pub user_id: UserId,
    pub amount: Money,
}

/// A movement, and the available money after it.
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
    command: &MoveMoney,
) -> Result<MovedView, BillingError> {
    let moved = move_money(tx, state, command, EntrySet::top_up(command.amount)).await?;
    let (user_id, amount, currency) = (command.user_id, command.amount, state.currency);
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
    command: &MoveMoney,
) -> Result<MovedView, BillingError> {
    let moved = move_money(tx, state, command, EntrySet::withdrawal(command.amount)).await?;
    let (user_id, amount, currency) = (command.user_id, command.amount, state.currency);
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
    command: &MoveMoney,
    movement: EntrySet,
) -> Result<MovedView, BillingError> {
    if !command.amount.is_valid_input() {
        return Err(BillingError::InvalidAmount);
    }
    let account = accounts::lock(tx, command.user_id)
        .await?
        .ok_or(BillingError::AccountNotOpenYet)?;
    if account.is_closed() {
        return Err(BillingError::AccountClosed);
    }
    let balances = movement.apply(account.balances())?;
    let id = ledger::record(tx, command.user_id, &movement, balances, None);
    Ok(MovedView {
        id,
        amount: command.amount,
        currency: state.currency,
        available: balances.available,
    })
}
