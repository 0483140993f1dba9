use std::collections::HashSet;

use contracts::users::UserDeleted;
use db::{DbError, Tx};
use kernel::{Class, Classify};
use outbox::PublishError;
use service_kit::{AuthError, Caller, PreconditionFailed, Preconditions};

use super::void_tokens::void_tokens;
use crate::{
    State,
    store::{
        callers::calling_locked,
        login_failures,
        people::{self, Person},
    },
};

#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    #[error("you are the last manager: make another one first, or the store has none")]
    LastManager,
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error(transparent)]
    Precondition(#[from] PreconditionFailed),
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl Classify for DeleteError {
    fn class(&self) -> Class {
        match self {
            Self::LastManager => Class::Conflict,
            Self::Auth(error) => error.class(),
            Self::Precondition(error) => error.class(),
            Self::Db(error) => error.class(),
            Self::Publish(error) => error.class(),
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::LastManager => "last_manager",
            Self::Auth(error) => error.code(),
            Self::Precondition(error) => error.code(),
            Self::Db(error) => error.code(),
            Self::Publish(error) => error.code(),
        }
    }
}

pub struct DeletePerson {
    pub caller: Caller,
    pub preconditions: Preconditions,
}

/// Deletes the caller and all their data here, unless they are the last manager; billing closes the
/// account when it handles the event. A repetition changes nothing.
pub async fn delete_person(
    tx: &mut Tx<'_>,
    _: &State,
    command: &DeletePerson,
) -> Result<(), DeleteError> {
    let id = command.caller.user_id;
    let managers = people::lock_roles(tx).await?;
    if people::by_id(tx, id).await?.is_none() {
        return Ok(());
    }
    let person: Person = calling_locked::<DeleteError>(tx, &command.caller).await?;
    command.preconditions.check(Some(person.version))?;
    if managers == [id] {
        return Err(DeleteError::LastManager);
    }
    void_tokens::<DeleteError>(tx, id).await?;
    // Their sessions are deleted with them.
    people::delete(tx, id).await?;
    // The stored answers to their requests hold name and address.
    for spelling in HashSet::from([person.address(), &person.email]) {
        idempotency::forget(tx, &format!("email:{spelling}")).await?;
    }
    idempotency::forget(tx, &id.to_string()).await?;
    login_failures::forget(tx, person.address()).await?;
    outbox::publish(tx, &UserDeleted { user_id: id })?;
    Ok(())
}
