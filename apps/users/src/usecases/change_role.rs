use db::Tx;
use kernel::UserId;
use service_kit::Role;

use super::view_person::{PersonNotThere, PersonView};
use crate::{State, store::people};

pub struct ChangeRole {
    pub user_id: UserId,
    pub role: Role,
}

/// Gives somebody another role. Tokens that are out keep the old one until they expire.
pub async fn change_role(
    tx: &mut Tx<'_>,
    _: &State,
    change: &ChangeRole,
) -> Result<PersonView, PersonNotThere> {
    let changed = people::set_role(tx, change.user_id, change.role).await?;
    Ok(changed.ok_or(PersonNotThere::Unknown)?.into())
}
