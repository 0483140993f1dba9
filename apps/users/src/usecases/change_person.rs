use connect::Secret;
use db::{Db, DbError};
use kernel::{Class, Classify, UserId};
use service_kit::{PreconditionFailed, Version};

use super::view_person::PersonView;
use crate::{
    State,
    domain::passwords::PasswordError,
    store::people::{self, Person},
};

/// What somebody wants to be different about themselves.
pub struct ChangePerson {
    pub id: UserId,
    pub name: Option<String>,
    pub password: Option<NewPassword>,
    /// The version that they have seen, if they say so.
    pub seen: Option<Version>,
}

pub struct NewPassword {
    pub new: Secret,
    pub current: Secret,
}

#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("there is no such user")]
    Unknown,
    #[error("current_password is wrong")]
    WrongPassword,
    #[error(transparent)]
    Precondition(#[from] PreconditionFailed),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Db(#[from] DbError),
}

impl Classify for ChangeError {
    fn class(&self) -> Class {
        match self {
            Self::Unknown => Class::NotFound,
            Self::WrongPassword => Class::Denied,
            Self::Precondition(error) => error.class(),
            Self::Password(error) => error.class(),
            Self::Db(error) => error.class(),
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown_user",
            Self::WrongPassword => "wrong_password",
            Self::Precondition(error) => error.code(),
            Self::Password(error) => error.code(),
            Self::Db(error) => error.code(),
        }
    }
}

/// Changes a name, a password, or both. Passwords are hashed between two transactions, because it takes long; that
/// nobody changed the person in between is seen by the version. A change that was made already is made again.
pub async fn change_person(state: State, db: Db, wish: ChangePerson) -> Result<PersonView, ChangeError> {
    let id = wish.id;
    let person = db
        .transaction(
            "users.view_me",
            async move |tx| -> Result<Option<Person>, DbError> { people::by_id(tx, id).await },
        )
        .await?
        .ok_or(ChangeError::Unknown)?;
    if let Some(seen) = wish.seen {
        seen.check(person.version)?;
    }
    let hash = match wish.password {
        None => None,
        Some(password) => Some(new_hash(&state, &person, password).await?),
    };
    let (name, seen) = (wish.name.unwrap_or(person.name), person.version);
    let hash = hash.unwrap_or(person.password_hash);
    let changed = db
        .transaction(
            "users.change_person",
            async |tx| -> Result<Option<Person>, DbError> {
                people::change(tx, id, seen, &name, &hash).await
            },
        )
        .await?;
    Ok(changed.ok_or(PreconditionFailed)?.into())
}

async fn new_hash(state: &State, person: &Person, password: NewPassword) -> Result<String, ChangeError> {
    let known = || Some(person.password_hash.clone());
    if state.passwords.verify(password.current, known()).await? {
        return Ok(state.passwords.hash(password.new).await?);
    }
    // A retry of a change that was made.
    if state.passwords.verify(password.new, known()).await? {
        return Ok(person.password_hash.clone());
    }
    Err(ChangeError::WrongPassword)
}
