use contracts::users::UserRegistered;
use db::{DbError, Tx};
use kernel::{Class, Classify, UserId};
use outbox::PublishError;
use service_kit::Role;

use super::view_person::PersonView;
use crate::{
    State,
    domain::person::Email,
    store::people::{self, NewPerson},
};

/// Somebody who wants to use the store.
pub struct Register {
    pub email: Email,
    pub name: String,
    /// In PHC form. Hashing takes long, so it is done before the transaction.
    pub password_hash: String,
    pub role: Role,
}

#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    #[error("this e-mail address is registered already; log in with it")]
    EmailTaken,
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl Classify for RegisterError {
    fn class(&self) -> Class {
        match self {
            Self::EmailTaken => Class::Conflict,
            Self::Db(error) => error.class(),
            Self::Publish(error) => error.class(),
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::EmailTaken => "email_taken",
            Self::Db(error) => error.code(),
            Self::Publish(error) => error.code(),
        }
    }
}

pub async fn register(tx: &mut Tx<'_>, _: &State, new: &Register) -> Result<PersonView, RegisterError> {
    add(tx, new).await
}

/// Adds the person and tells the others, in one transaction.
pub async fn add(tx: &mut Tx<'_>, new: &Register) -> Result<PersonView, RegisterError> {
    let id = UserId::new();
    let person = NewPerson {
        id,
        email: new.email.as_str(),
        name: &new.name,
        password_hash: &new.password_hash,
        role: new.role.as_str(),
    };
    if !people::add(tx, &person).await? {
        return Err(RegisterError::EmailTaken);
    }
    outbox::publish(tx, &UserRegistered { user_id: id })?;
    Ok(PersonView {
        id,
        email: new.email.as_str().to_owned(),
        name: new.name.clone(),
        role: new.role,
        version: 1,
    })
}
