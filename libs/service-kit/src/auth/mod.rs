//! Who calls: access tokens by RFC 8725, checked against the keys that users publishes.

mod caller;
mod tokens;
mod void;

pub use caller::{AuthError, Caller, Claims, Role};
pub use tokens::{OwnKeys, TokenSettingsError, Tokens};
pub use void::{VoidTokens, tokens_void};
