//! Who calls: access tokens by RFC 8725, checked against the keys that users publishes.

mod caller;
mod tokens;

pub use caller::{AuthError, Caller, Claims, Role};
pub use tokens::{OwnKeys, TokenSettingsError, Tokens};
