use connect::Secret;
use db::{Db, DbError};
use kernel::{Class, Classify};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    State,
    domain::{passwords::PasswordError, person::Email},
    store::people::{self, Person},
};

pub struct LogIn {
    /// `None` if what was sent is no address; nobody has it, and finding that out takes as long.
    pub email: Option<Email>,
    pub password: Secret,
}

#[derive(Serialize, ToSchema)]
pub struct SessionView {
    pub access_token: String,
    #[schema(example = "Bearer")]
    pub token_type: &'static str,
    /// Seconds.
    pub expires_in: i64,
}

#[derive(Debug, thiserror::Error)]
pub enum LogInError {
    #[error("the e-mail address or the password is wrong")]
    Wrong,
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error("the token cannot be signed")]
    Sign(#[from] jsonwebtoken::errors::Error),
}

impl Classify for LogInError {
    fn class(&self) -> Class {
        match self {
            Self::Wrong => Class::Unauthenticated,
            Self::Db(error) => error.class(),
            Self::Password(_) | Self::Sign(_) => Class::Bug,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Wrong => "wrong_credentials",
            Self::Db(error) => error.code(),
            Self::Password(_) | Self::Sign(_) => "internal_error",
        }
    }
}

/// An access token for whoever knows the password. Says the same, after the same time, whether the address or
/// the password is wrong.
pub async fn log_in(state: State, db: Db, who: LogIn) -> Result<SessionView, LogInError> {
    let email = who.email;
    let person = db
        .transaction("users.log_in", async |tx| -> Result<Option<Person>, DbError> {
            match &email {
                Some(email) => people::by_email(tx, email).await,
                None => Ok(None),
            }
        })
        .await?;
    let known = person.as_ref().map(|person| person.password_hash.clone());
    let fits = state.passwords.verify(who.password, known).await?;
    match person {
        Some(person) if fits => Ok(SessionView {
            access_token: state.issuer.issue(person.id, person.role())?,
            token_type: "Bearer",
            expires_in: state.issuer.lifetime(),
        }),
        _ => Err(LogInError::Wrong),
    }
}
