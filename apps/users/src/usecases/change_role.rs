use db::Tx;
use kernel::UserId;
use service_kit::{Role, Version};

use super::{change_person::ChangeError, view_person::PersonView};
use crate::{State, store::people};

pub struct ChangeRole {
    pub user_id: UserId,
    pub role: Role,
    /// The version that the manager has seen, if they say so.
    pub seen: Option<Version>,
}

/// Gives somebody another role, as long as there is a manager. Tokens that are out keep the old one until they expire.
pub async fn change_role(tx: &mut Tx<'_>, _: &State, change: &ChangeRole) -> Result<PersonView, ChangeError> {
    let managers = people::lock_roles(tx).await?;
    if change.role != Role::Manager && managers == [change.user_id] {
        return Err(ChangeError::LastManager);
    }
    let changed = people::set_role(tx, change.user_id, change.role).await?;
    let changed = changed.ok_or(ChangeError::Unknown)?;
    if let Some(seen) = change.seen {
        // Before this change, which is rolled back if it was another one.
        seen.check(changed.version - 1)?;
    }
    Ok(changed.into())
}
