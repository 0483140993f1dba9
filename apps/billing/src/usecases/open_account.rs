use contracts::billing::AccountOpened;
use db::Tx;
use kernel::UserId;

use super::BillingError;
use crate::store::accounts;

/// Opens an account for a user who registered. An account that is there already stays as it is.
pub async fn open_account(tx: &mut Tx<'_>, user_id: UserId) -> Result<(), BillingError> {
    if accounts::open(tx, user_id).await? {
        outbox::publish(tx, &AccountOpened { user_id })?;
    }
    Ok(())
}
