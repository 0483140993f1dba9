use std::{fmt, str::FromStr};

use kernel::{Class, Classify, UserId};
use serde::{Deserialize, Serialize};

/// What somebody may do in the store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Customer,
    Courier,
    Manager,
}

#[derive(Debug, thiserror::Error)]
#[error("a role is customer, courier or manager")]
pub struct InvalidRole;

impl Role {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Courier => "courier",
            Self::Manager => "manager",
        }
    }
}
impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
impl FromStr for Role {
    type Err = InvalidRole;
    fn from_str(text: &str) -> Result<Self, InvalidRole> {
        [Self::Customer, Self::Courier, Self::Manager]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or(InvalidRole)
    }
}

/// Somebody who proved who they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caller {
    pub user_id: UserId,
    pub role: Role,
}

/// What an access token says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    pub aud: String,
    pub sub: UserId,
    pub role: Role,
    /// Seconds since 1970.
    pub iat: i64,
    pub exp: i64,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum AuthError {
    #[error("log in with POST /api/sessions and send the token as 'Authorization: Bearer <token>'")]
    Missing,
    #[error("the access token is not valid or no longer valid; log in again")]
    Invalid,
    #[error("this is for the role {needed} only")]
    Denied { needed: &'static str },
    #[error("the token keys cannot be had at the moment")]
    NoKeys,
}

impl Classify for AuthError {
    fn class(&self) -> Class {
        match self {
            Self::Missing | Self::Invalid => Class::Unauthenticated,
            Self::Denied { .. } => Class::Denied,
            Self::NoKeys => Class::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::Invalid => "token_invalid",
            Self::Denied { .. } => "role_denied",
            Self::NoKeys => "token_keys_unavailable",
        }
    }
}

impl Caller {
    /// Refuses everybody whose role is not one of `roles`.
    pub fn require(self, roles: &[Role]) -> Result<Self, AuthError> {
        if roles.contains(&self.role) {
            return Ok(self);
        }
        let needed = match roles {
            [only] => only.as_str(),
            _ => "courier or manager",
        };
        Err(AuthError::Denied { needed })
    }
}
