//! What users tells: that somebody is there, or no longer. Never a name or an address.

use kernel::UserId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Somebody registered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UserRegistered {
    pub user_id: UserId,
}

/// Somebody deleted their account.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UserDeleted {
    pub user_id: UserId,
}

crate::events! { "users":
    UserRegistered "users.registered.v1" by |event| event.user_id;
    UserDeleted "users.deleted.v1" by |event| event.user_id;
}
