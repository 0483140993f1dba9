use db::Tx;
use kernel::UserId;
use service_kit::{Caller, Preconditions, Role};

use super::{change_person::ChangeError, view_person::PersonView, void_tokens::void_tokens};
use crate::{
    State,
    store::{callers::calling_manager, people},
};

pub struct ChangeRole {
    pub caller: Caller,
    pub user_id: UserId,
    pub role: Role,
    pub preconditions: Preconditions,
}

/// Gives a person another role, unless the store would have no manager. Their sessions go on, with
/// tokens of the new role.
pub async fn change_role(
    tx: &mut Tx<'_>,
    _: &State,
    change: &ChangeRole,
) -> Result<PersonView, ChangeError> {
    let managers = people::lock_roles(tx).await?;
    let by = calling_manager::<ChangeError>(tx, &change.caller).await?;
    let before = people::locked(tx, change.user_id)
        .await?
        .ok_or(ChangeError::Unknown)?;
    if before.role() == change.role {
        change.preconditions.check_unchanged(before.version)?;
        return Ok(before.into());
    }
    change.preconditions.check(Some(before.version))?;
    if managers == [change.user_id] {
        return Err(ChangeError::LastManager);
    }
    void_tokens::<ChangeError>(tx, change.user_id).await?;
    Ok(people::set_role(tx, &by, change.user_id, change.role)
        .await?
        .into())
}
