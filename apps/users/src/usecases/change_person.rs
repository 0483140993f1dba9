use connect::Secret;
use db::{Db, DbError, Tx};
use kernel::{Class, Classify, UserId};
use service_kit::{PreconditionFailed, Preconditions};

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
    pub preconditions: Preconditions,
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

/// Changes a name, a password, or both. Passwords are hashed between two transactions, because it takes long: what was
/// proved of the password before is proved again if it is another one by then. Whatever else has changed meanwhile stays.
pub async fn change_person(state: State, db: Db, wish: ChangePerson) -> Result<PersonView, ChangeError> {
    loop {
        let id = wish.id;
        let person = db
            .transaction(
                "users.view_me",
                async move |tx| -> Result<Option<Person>, DbError> { people::by_id(tx, id).await },
            )
            .await?
            .ok_or(ChangeError::Unknown)?;
        let hashes = match &wish.password {
            None => None,
            Some(password) => {
                let allowed = wish.preconditions.check(Some(person.version));
                let new = new_hash(&state, &person, password, allowed).await?;
                let proved = person.password_hash;
                Some(Hashes { proved, new })
            }
        };
        let changed = db
            .transaction("users.change_person", async |tx| {
                store(tx, &wish, hashes.as_ref()).await
            })
            .await?;
        if let Some(changed) = changed {
            return Ok(changed.into());
        }
    }
}

struct Hashes {
    /// Of the password that the caller knew.
    proved: String,
    new: String,
}

/// The person as they are now, or `None` if they have another password than the one that was proved.
async fn store(
    tx: &mut Tx<'_>,
    wish: &ChangePerson,
    hashes: Option<&Hashes>,
) -> Result<Option<Person>, ChangeError> {
    let before = people::locked(tx, wish.id).await?.ok_or(ChangeError::Unknown)?;
    if hashes.is_some_and(|hashes| hashes.proved != before.password_hash) {
        return Ok(None);
    }
    let name = wish.name.as_ref().unwrap_or(&before.name);
    let hash = hashes.map_or(&before.password_hash, |hashes| &hashes.new);
    if (name, hash) == (&before.name, &before.password_hash) {
        wish.preconditions.check_unchanged(before.version)?;
        return Ok(Some(before));
    }
    wish.preconditions.check(Some(before.version))?;
    Ok(Some(people::change(tx, wish.id, name, hash).await?))
}

/// `allowed` says whether a change may be made at all, so that nothing is hashed in vain.
async fn new_hash(
    state: &State,
    person: &Person,
    password: &NewPassword,
    allowed: Result<(), PreconditionFailed>,
) -> Result<String, ChangeError> {
    let known = || Some(person.password_hash.clone());
    if state.passwords.verify(password.current.clone(), known()).await? {
        allowed?;
        return Ok(state.passwords.hash(password.new.clone()).await?);
    }
    // A retry of a change that was made.
    if state.passwords.verify(password.new.clone(), known()).await? {
        return Ok(person.password_hash.clone());
    }
    Err(ChangeError::WrongPassword)
}
