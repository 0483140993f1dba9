//! The events of users: a user is there or is gone, and a user's tokens do not count any more. They
//! never carry a name or an address.

use kernel::UserId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A user registered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UserRegistered {
    pub user_id: UserId,
}

/// A user deleted their account.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UserDeleted {
    pub user_id: UserId,
}

/// A user's access tokens of earlier generations do not count any more: the user got another role
/// or password, was suspended, logged out somewhere, or was deleted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TokensVoid {
    pub user_id: UserId,
    /// The first generation that counts. It only grows, so the greatest one that has arrived is
    /// right, in whatever sequence they arrive.
    pub generation: i64,
}

crate::entry::events! { "users":
    UserRegistered "users.registered.v1" by |event| event.user_id;
    UserDeleted "users.deleted.v1" by |event| event.user_id;
    TokensVoid "users.tokens_void.v1" by |event| event.user_id;
}
