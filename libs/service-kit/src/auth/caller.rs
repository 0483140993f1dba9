use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use kernel::{Class, Classify, SessionId, UserId};
use serde::{Deserialize, Serialize};

/// What a person may do in the store.
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

/// A caller whose access token was verified.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caller {
    pub user_id: UserId,
    pub role: Role,
    pub session: SessionId,
    /// Generation of their tokens. A change that makes older tokens void begins a new one.
    pub generation: i64,
    /// Time at which they typed their password, in seconds since 1970.
    pub authenticated_at: i64,
    /// Time at which the token expires, in seconds since 1970.
    pub expires_at: i64,
}

/// The claims of an access token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    pub aud: String,
    pub sub: UserId,
    pub role: Role,
    /// Seconds since 1970.
    pub iat: i64,
    pub exp: i64,
    /// The session. Tokens of the release before lack this and the two claims below.
    pub sid: Option<SessionId>,
    #[serde(rename = "gen")]
    pub generation: Option<i64>,
    /// Time at which the password was typed (OpenID Connect Core, section 2), in seconds since
    /// 1970.
    pub auth_time: Option<i64>,
}

impl Claims {
    /// The caller with these claims; an error if a claim is missing.
    pub(super) fn caller(&self) -> Result<Caller, AuthError> {
        let (Some(session), Some(generation), Some(authenticated_at)) =
            (self.sid, self.generation, self.auth_time)
        else {
            return Err(AuthError::WithoutSession);
        };
        Ok(Caller {
            user_id: self.sub,
            role: self.role,
            session,
            generation,
            authenticated_at,
            expires_at: self.exp,
        })
    }
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum AuthError {
    #[error("log in with POST /api/sessions and send the token as 'Authorization: Bearer <token>'")]
    Missing,
    #[error(
        "the access token is not valid or no longer valid; refresh it with POST \
         /api/sessions/refresh, or log in again"
    )]
    Invalid,
    #[error(
        "the access token does not count any more: the account was changed, or its owner logged \
         out; refresh it with POST /api/sessions/refresh, or log in again"
    )]
    Outdated,
    #[error(
        "the access token is of an earlier release, and names no session; log in again with POST \
         /api/sessions"
    )]
    WithoutSession,
    #[error(
        "this needs a log-in that is at most {seconds} s old; log in again with POST \
         /api/sessions, and send the request with the new token, under the same Idempotency-Key"
    )]
    NotFresh { seconds: u32 },
    #[error("this is for the role {needed} only")]
    Denied { needed: &'static str },
    #[error("the token keys cannot be had at the moment")]
    NoKeys,
}

impl Classify for AuthError {
    fn class(&self) -> Class {
        match self {
            Self::Missing | Self::Invalid | Self::Outdated | Self::WithoutSession => {
                Class::Unauthenticated
            }
            Self::NotFresh { .. } | Self::Denied { .. } => Class::Denied,
            Self::NoKeys => Class::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::Invalid => "token_invalid",
            Self::Outdated => "token_outdated",
            Self::WithoutSession => "token_without_session",
            Self::NotFresh { .. } => "fresh_login_required",
            Self::Denied { .. } => "role_denied",
            Self::NoKeys => "token_keys_unavailable",
        }
    }
}

impl Caller {
    /// Refuses a caller who typed their password more than `seconds` ago.
    pub fn fresh(self, seconds: u32, now: DateTime<Utc>) -> Result<Self, AuthError> {
        let since = now.timestamp() - self.authenticated_at;
        (since <= i64::from(seconds))
            .then_some(self)
            .ok_or(AuthError::NotFresh { seconds })
    }

    /// Whether their token has expired.
    pub(super) fn is_over(&self, now: DateTime<Utc>) -> bool {
        self.expires_at <= now.timestamp()
    }

    /// Refuses a caller whose role is not one of `roles`.
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
