use contracts::users::UserRegistered;
use db::{DbError, Tx};
use kernel::{Class, Classify, UserId};
use outbox::PublishError;
use service_kit::{Role, Trail};

use super::view_person::PersonView;
use crate::{
    State,
    domain::{email::Email, status::Status},
    store::people::{self, NewPerson},
};

/// A new user account.
pub struct Register {
    pub email: Email,
    pub name: String,
    /// In PHC form. Hashing takes long, so it is done before the transaction; `None` for a retry,
    /// whose answer is known.
    pub password_hash: Option<String>,
    pub role: Role,
    pub trail: Trail,
}

#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    #[error("this e-mail address is registered already; log in with it")]
    EmailTaken,
    /// It expired between the check and the transaction.
    #[error("the answer to this Idempotency-Key expired just now; try again")]
    Expired,
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl Classify for RegisterError {
    fn class(&self) -> Class {
        match self {
            Self::EmailTaken => Class::Conflict,
            Self::Expired => Class::Unavailable,
            Self::Db(error) => error.class(),
            Self::Publish(error) => error.class(),
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::EmailTaken => "email_taken",
            Self::Expired => "answer_expired",
            Self::Db(error) => error.code(),
            Self::Publish(error) => error.code(),
        }
    }
}

/// The address and the Idempotency-Key of a registration.
pub struct Registration {
    pub email: Email,
    pub owner: String,
    pub key: String,
    pub keep_hours: u32,
}

/// Whether this is no retry; an error if the address is taken. This check spares a hash.
pub async fn is_new(
    tx: &mut Tx<'_>,
    _: &State,
    asked: &Registration,
) -> Result<bool, RegisterError> {
    if idempotency::is_used(tx, &asked.owner, &asked.key, asked.keep_hours).await? {
        return Ok(false);
    }
    if people::is_taken(tx, &asked.email).await? {
        return Err(RegisterError::EmailTaken);
    }
    Ok(true)
}

pub async fn register(
    tx: &mut Tx<'_>,
    _: &State,
    new: &Register,
) -> Result<PersonView, RegisterError> {
    add(tx, new).await
}

/// Adds the person, publishes it and records it in the security log, in one transaction.
pub async fn add(tx: &mut Tx<'_>, new: &Register) -> Result<PersonView, RegisterError> {
    let id = UserId::new();
    let person = NewPerson {
        id,
        email: new.email.as_str(),
        email_prepared: new.email.as_str(),
        name: &new.name,
        password_hash: new.password_hash.as_deref().ok_or(RegisterError::Expired)?,
        role: new.role.as_str(),
    };
    if !people::add(tx, &person).await? {
        return Err(RegisterError::EmailTaken);
    }
    outbox::publish(tx, &UserRegistered { user_id: id })?;
    new.trail.clone().about(id).done(tx);
    Ok(PersonView {
        id,
        email: new.email.as_str().to_owned(),
        name: new.name.clone(),
        role: new.role,
        status: Status::Active,
        version: 1,
    })
}
