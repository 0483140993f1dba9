use db::Tx;
use kernel::UserId;
use service_kit::{Preconditions, Role};

use super::{change_person::ChangeError, view_person::PersonView};
use crate::{State, store::people};

pub struct ChangeRole {
    pub user_id: UserId,
    pub role: Role,
    pub preconditions: Preconditions,
}

/// Gives somebody another role, as long as there is a manager. Tokens that are out keep the old one until they expire.
pub async fn change_role(tx: &mut Tx<'_>, _: &State, change: &ChangeRole) -> Result<PersonView, ChangeError> {
    let managers = people::lock_roles(tx).await?;
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
    let changed = people::set_role(tx, change.user_id, change.role).await?;
    Ok(changed.ok_or(ChangeError::Unknown)?.into())
}
