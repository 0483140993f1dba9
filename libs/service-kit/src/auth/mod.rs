//! Verification of callers: access tokens by RFC 8725, checked against the keys of the service
//! users.

mod caller;
mod tokens;
mod void;

pub use caller::{AuthError, Caller, Claims, Role};
pub use tokens::{OwnKeys, TokenSettingsError, Tokens};
pub use void::{VoidTokens, tokens_void};
