use contracts::billing::AccountClosed;
use db::Tx;
use kernel::{Money, UserId};

use super::BillingError;
use crate::{
    State,
    domain::ledger::EntrySet,
    store::{accounts, ledger},
};

/// Closes an account at once: what is available is paid out, new holds are refused. What is still held for orders goes
/// out when they end.
pub async fn close_account(tx: &mut Tx<'_>, state: &State, user_id: UserId) -> Result<(), BillingError> {
    let Some(account) = accounts::lock(tx, user_id)
        .await?
        .filter(|account| !account.is_closed())
    else {
        tracing::info!(%user_id, "no open account to close");
        return Ok(());
    };
    let paid_out = account.available;
    if paid_out > Money::ZERO {
        let movement = EntrySet::payout(paid_out);
        ledger::record(tx, user_id, &movement, movement.apply(account.balances())?, None).await?;
    }
    accounts::close(tx, user_id).await?;
    outbox::publish(
        tx,
        &AccountClosed {
            user_id,
            paid_out,
            currency: state.currency,
        },
    )
    .await?;
    Ok(())
}
