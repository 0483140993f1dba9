use contracts::billing::AccountClosed;
use db::Tx;
use kernel::UserId;

use super::BillingError;
use crate::{
    domain::closing::{self, Closing},
    state::State,
    store::{
        accounts::{self, Account},
        ledger,
    },
};

/// Closes an account at once: its available money is paid out, and new holds are refused. The money
/// that is still held for orders is paid out when they end.
pub async fn close_account(
    tx: &mut Tx<'_>,
    state: &State,
    user_id: UserId,
) -> Result<(), BillingError> {
    let account = accounts::lock(tx, user_id).await?;
    if account.is_none() {
        // The tombstone that keeps a late registration from opening one.
        accounts::add_tombstone(tx, user_id);
    }
    let open = account.filter(|account| !account.is_closed());
    let balances = open.as_ref().map(Account::balances);
    let (Some(before), Some(Closing { paid_out, movement })) = (balances, closing::close(balances))
    else {
        tracing::info!(%user_id, "no open account to close");
        return Ok(());
    };
    if let Some(movement) = movement {
        ledger::record(tx, user_id, &movement, movement.apply(before)?, None);
    }
    accounts::close(tx, user_id);
    outbox::publish(
        tx,
        &AccountClosed {
            user_id,
            paid_out,
            currency: state.currency,
        },
    )?;
    Ok(())
}
