use std::net::IpAddr;

use db::{Db, DbError};
use kernel::{Class, Classify, UserId};
use service_kit::{PreconditionFailed, Version};
use tokio_util::sync::CancellationToken;

use super::{log_in::may_try, view_person::PersonView};
use crate::{
    State,
    domain::{
        password::Password,
        passwords::{Fit, PasswordError},
        turns::TooManyAttempts,
    },
    store::{
        login_failures,
        people::{self, Person},
    },
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
    pub new: Password,
    pub current: Password,
    /// Where they call from.
    pub network: Option<IpAddr>,
    /// Cancelled when they are gone.
    pub left: CancellationToken,
}

#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("there is no such user")]
    Unknown,
    #[error("current_password is wrong")]
    WrongPassword,
    #[error("this is the last manager: make another one first, or the store has none")]
    LastManager,
    #[error(transparent)]
    TooMany(#[from] TooManyAttempts),
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
            Self::LastManager => Class::Conflict,
            Self::TooMany(error) => error.class(),
            Self::Precondition(error) => error.class(),
            Self::Password(error) => error.class(),
            Self::Db(error) => error.class(),
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown_user",
            Self::WrongPassword => "wrong_password",
            Self::LastManager => "last_manager",
            Self::TooMany(error) => error.code(),
            Self::Precondition(error) => error.code(),
            Self::Password(error) => error.code(),
            Self::Db(error) => error.code(),
        }
    }
    fn retry_after(&self) -> Option<u32> {
        match self {
            Self::TooMany(error) => error.retry_after(),
            Self::Password(error) => error.retry_after(),
            Self::Db(error) => error.retry_after(),
            Self::Unknown | Self::WrongPassword | Self::LastManager | Self::Precondition(_) => None,
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
        Some(password) => Some(new_hash(&state, &db, &person, password).await?),
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

/// Who guesses a password here is counted as one who guesses it to log in.
async fn new_hash(
    state: &State,
    db: &Db,
    person: &Person,
    password: NewPassword,
) -> Result<String, ChangeError> {
    let NewPassword {
        new,
        current,
        network,
        left,
    } = password;
    let account = person.address();
    let turn = state.turns.take(account, network)?;
    let has_failed = db
        .transaction("users.may_try", async |tx| {
            may_try::<ChangeError>(tx, account).await
        })
        .await?;
    let known = || Some(person.password_hash.clone());
    let hash = if state.passwords.verify(&current, known(), &left).await? != Fit::No {
        state.passwords.hash(&new, &left).await?
    } else if state.passwords.verify(&new, known(), &left).await? != Fit::No {
        // A retry of a change that was made.
        return Ok(person.password_hash.clone());
    } else {
        turn.failed();
        db.transaction("users.log_in_failed", async |tx| -> Result<(), DbError> {
            login_failures::add(tx, account).await
        })
        .await?;
        return Err(ChangeError::WrongPassword);
    };
    if has_failed {
        db.transaction("users.logged_in", async |tx| -> Result<(), DbError> {
            login_failures::forget(tx, account).await
        })
        .await?;
    }
    Ok(hash)
}
