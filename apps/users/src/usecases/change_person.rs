use std::net::IpAddr;

use db::{Db, DbError, Tx};
use kernel::{Class, Classify};
use outbox::PublishError;
use service_kit::{AuthError, Caller, PreconditionFailed, Preconditions, Trail};
use tokio_util::sync::CancellationToken;

use super::{
    log_in::{failed, may_try},
    view_person::PersonView,
    void_tokens::void_tokens,
};
use crate::{
    State,
    domain::{attempts::TooManyAttempts, password::Password, person::PersonError},
    hashing::{Fit, PasswordError},
    store::{
        callers::{calling, calling_locked},
        login_failures,
        people::{self, Person},
        sessions,
    },
};

/// A change of the caller's name or password.
pub struct ChangePerson {
    pub caller: Caller,
    pub name: Option<String>,
    pub password: Option<NewPassword>,
    pub preconditions: Preconditions,
}

pub struct NewPassword {
    pub new: Password,
    pub current: Password,
    /// The network from which the caller sends it.
    pub network: Option<IpAddr>,
    pub trail: Trail,
    /// Cancelled when the client goes away.
    pub client_gone: CancellationToken,
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
    Auth(#[from] AuthError),
    #[error(transparent)]
    TooMany(#[from] TooManyAttempts),
    #[error(transparent)]
    Precondition(#[from] PreconditionFailed),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Person(#[from] PersonError),
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl Classify for ChangeError {
    fn class(&self) -> Class {
        match self {
            Self::Unknown => Class::NotFound,
            Self::WrongPassword => Class::Denied,
            Self::LastManager => Class::Conflict,
            Self::Auth(error) => error.class(),
            Self::TooMany(error) => error.class(),
            Self::Precondition(error) => error.class(),
            Self::Password(error) => error.class(),
            Self::Person(error) => error.class(),
            Self::Db(error) => error.class(),
            Self::Publish(error) => error.class(),
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown_user",
            Self::WrongPassword => "wrong_password",
            Self::LastManager => "last_manager",
            Self::Auth(error) => error.code(),
            Self::TooMany(error) => error.code(),
            Self::Precondition(error) => error.code(),
            Self::Password(error) => error.code(),
            Self::Person(error) => error.code(),
            Self::Db(error) => error.code(),
            Self::Publish(error) => error.code(),
        }
    }
    fn retry_after(&self) -> Option<u32> {
        match self {
            Self::TooMany(error) => error.retry_after(),
            Self::Password(error) => error.retry_after(),
            Self::Db(error) => error.retry_after(),
            Self::Publish(error) => error.retry_after(),
            Self::Unknown
            | Self::WrongPassword
            | Self::LastManager
            | Self::Auth(_)
            | Self::Precondition(_)
            | Self::Person(_) => None,
        }
    }
}

/// Changes a name, a password, or both. Passwords are hashed between two transactions, because that
/// takes long. If the password was changed meanwhile, the current one is verified again; other
/// changes that were made meanwhile stay.
pub async fn change_person(
    state: State,
    db: Db,
    command: ChangePerson,
) -> Result<PersonView, ChangeError> {
    loop {
        let person = db
            .transaction("users.view_me", async |tx| {
                calling::<ChangeError>(tx, &command.caller).await
            })
            .await?;
        let hashes = match &command.password {
            None => None,
            Some(password) => {
                let name = command.name.as_ref().unwrap_or(&person.name);
                password.new.is_not_of(person.address(), name)?;
                let allowed = command.preconditions.check(Some(person.version));
                let new = new_hash(&state, &db, &person, password, allowed).await?;
                let verified = person.password_hash;
                Some(Hashes { verified, new })
            }
        };
        let changed = db
            .transaction("users.change_person", async |tx| {
                store(tx, &command, hashes.as_ref()).await
            })
            .await?;
        if let Some(changed) = changed {
            return Ok(changed.into());
        }
    }
}

struct Hashes {
    /// Hash of the password that the caller knew.
    verified: String,
    new: String,
}

/// Stores the change, and returns the person. `None` if they have another password than the one
/// that was verified.
async fn store(
    tx: &mut Tx<'_>,
    command: &ChangePerson,
    hashes: Option<&Hashes>,
) -> Result<Option<Person>, ChangeError> {
    let before: Person = calling_locked::<ChangeError>(tx, &command.caller).await?;
    if hashes.is_some_and(|hashes| hashes.verified != before.password_hash) {
        return Ok(None);
    }
    let name = command.name.as_ref().unwrap_or(&before.name);
    let hash = hashes.map_or(&before.password_hash, |hashes| &hashes.new);
    if (name, hash) == (&before.name, &before.password_hash) {
        command.preconditions.check_unchanged(before.version)?;
        return Ok(Some(before));
    }
    command.preconditions.check(Some(before.version))?;
    if *hash != before.password_hash {
        if let Some(password) = &command.password {
            password.trail.done(tx);
        }
        // The password may be changed because a stranger is logged in. The caller's own session
        // goes on by its refresh token.
        sessions::end_others(tx, before.id, command.caller.session).await?;
        sessions::authenticated(tx, command.caller.session).await?;
        void_tokens::<ChangeError>(tx, before.id).await?;
    }
    Ok(Some(people::change(tx, before.id, name, hash).await?))
}

/// Verifies the current password, and hashes the new one. A wrong password counts as a failure to
/// log in. `allowed` tells whether the change may be made at all, so that nothing is hashed in
/// vain.
async fn new_hash(
    state: &State,
    db: &Db,
    person: &Person,
    password: &NewPassword,
    allowed: Result<(), PreconditionFailed>,
) -> Result<String, ChangeError> {
    let NewPassword {
        new,
        current,
        network,
        trail,
        client_gone,
    } = password;
    let account = person.address();
    let attempt = state.attempts.begin(account, *network)?;
    let has_failed = db
        .transaction("users.may_try", async |tx| {
            may_try::<ChangeError>(tx, account).await
        })
        .await?;
    let known = || Some(person.password_hash.clone());
    let hash = if state.hasher.verify(current, known(), client_gone).await? != Fit::No {
        allowed?;
        state.hasher.hash(new, client_gone).await?
    } else if state.hasher.verify(new, known(), client_gone).await? != Fit::No {
        // A retry of a change that was made.
        person.password_hash.clone()
    } else {
        attempt.failed();
        let (trail, wrong) = (trail.clone(), ChangeError::WrongPassword);
        failed(db, account, Some(person.id), trail, &wrong).await?;
        return Err(wrong);
    };
    if has_failed {
        db.transaction("users.logged_in", async |tx| -> Result<(), DbError> {
            login_failures::forget(tx, account).await
        })
        .await?;
    }
    Ok(hash)
}
