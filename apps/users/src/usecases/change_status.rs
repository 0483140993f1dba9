use db::Tx;
use kernel::UserId;
use service_kit::{Caller, Preconditions};

use super::{change_person::ChangeError, view_person::PersonView, void_tokens::void_tokens};
use crate::{
    State,
    domain::status::Status,
    store::{callers::calling_manager, people, sessions},
};

pub struct ChangeStatus {
    pub caller: Caller,
    pub user_id: UserId,
    pub status: Status,
    pub preconditions: Preconditions,
}

/// Suspends a person, unless the store would have no manager, or lets them in again. A suspended
/// person is logged out everywhere.
pub async fn change_status(
    tx: &mut Tx<'_>,
    _: &State,
    change: &ChangeStatus,
) -> Result<PersonView, ChangeError> {
    let managers = people::lock_roles(tx).await?;
    let by = calling_manager::<ChangeError>(tx, &change.caller).await?;
    let before = people::locked(tx, change.user_id)
        .await?
        .ok_or(ChangeError::Unknown)?;
    if before.status == change.status {
        change.preconditions.check_unchanged(before.version)?;
        return Ok(before.into());
    }
    change.preconditions.check(Some(before.version))?;
    if change.status == Status::Suspended {
        if managers == [change.user_id] {
            return Err(ChangeError::LastManager);
        }
        sessions::end_all(tx, change.user_id).await?;
        void_tokens::<ChangeError>(tx, change.user_id).await?;
    }
    Ok(people::set_status(tx, &by, change.user_id, change.status)
        .await?
        .into())
}
