use db::Tx;
use kernel::{Currency, Money, UserId};
use serde::Serialize;
use utoipa::ToSchema;

use super::BillingError;
use crate::{state::State, store::accounts};

/// An account as its owner and managers see it.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccountView {
    /// The money that can be spent, in minor units.
    pub available: Money,
    /// The money that is set aside for orders under way, in minor units.
    pub held: Money,
    pub currency: Currency,
    /// `open` or `closed`.
    pub status: String,
}

/// The caller's own account. A caller without one has just registered: billing is opening it.
pub async fn view_own(
    tx: &mut Tx<'_>,
    state: &State,
    user_id: &UserId,
) -> Result<AccountView, BillingError> {
    view(tx, state, *user_id)
        .await?
        .ok_or(BillingError::AccountNotOpenYet)
}

/// The account of any user, for managers.
pub async fn view_any(
    tx: &mut Tx<'_>,
    state: &State,
    user_id: &UserId,
) -> Result<AccountView, BillingError> {
    view(tx, state, *user_id)
        .await?
        .ok_or(BillingError::UnknownAccount)
}

async fn view(
    tx: &mut Tx<'_>,
    state: &State,
    user_id: UserId,
) -> Result<Option<AccountView>, BillingError> {
    let account = accounts::find(tx, user_id).await?;
    Ok(account.map(|account| AccountView {
        available: account.available,
        held: account.held,
        currency: state.currency,
        status: account.status,
    }))
}
