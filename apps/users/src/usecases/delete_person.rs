use std::collections::HashSet;

use contracts::users::UserDeleted;
use db::{DbError, Tx};
use kernel::{Class, Classify, UserId};
use outbox::PublishError;
use service_kit::{PreconditionFailed, Preconditions};

use crate::{
    State,
    store::{login_failures, people},
};

#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    #[error("you are the last manager: make another one first, or the store has none")]
    LastManager,
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
            Self::Precondition(error) => error.class(),
            Self::Db(error) => error.class(),
            Self::Publish(error) => error.class(),
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::LastManager => "last_manager",
            Self::Precondition(error) => error.code(),
            Self::Db(error) => error.code(),
            Self::Publish(error) => error.code(),
        }
    }
}

pub struct DeletePerson {
    pub id: UserId,
    pub preconditions: Preconditions,
}

/// Deletes a person with all that is kept of them here, but for the last manager; billing hears of it and closes the account.
/// Once more changes nothing.
pub async fn delete_person(tx: &mut Tx<'_>, _: &State, wish: &DeletePerson) -> Result<(), DeleteError> {
    let id = wish.id;
    let managers = people::lock_roles(tx).await?;
    if let Some(person) = people::locked(tx, id).await? {
        wish.preconditions.check(Some(person.version))?;
    }
    if managers == [id] {
        return Err(DeleteError::LastManager);
    }
    let Some(person) = people::delete(tx, id).await? else {
        return Ok(());
    };
    // Their kept answers hold name and address.
    for spelling in HashSet::from([person.address(), &person.email]) {
        idempotency::forget(tx, &format!("email:{spelling}")).await?;
    }
    idempotency::forget(tx, &id.to_string()).await?;
    login_failures::forget(tx, person.address()).await?;
    outbox::publish(tx, &UserDeleted { user_id: id })?;
    Ok(())
}
