//! What users tells: that a person is there, or no longer, and whose tokens do not count any more.
//! Never a name or an address.

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

/// Access tokens of a person that are of an earlier generation do not count any more: they have
/// another role or password now, were suspended, have logged out somewhere, or have left.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TokensVoid {
    pub user_id: UserId,
    /// The first one that counts. It only grows, so the greatest one that was heard is right, in
    /// whatever order they come.
    pub generation: i64,
}

crate::events! { "users":
    UserRegistered "users.registered.v1" by |event| event.user_id;
    UserDeleted "users.deleted.v1" by |event| event.user_id;
    TokensVoid "users.tokens_void.v1" by |event| event.user_id;
}
