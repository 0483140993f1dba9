use contracts::users::UserDeleted;
use db::{DbError, Tx};
use kernel::{Class, Classify, UserId};
use outbox::PublishError;

use crate::{
    State,
    store::{login_failures, people},
};

#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    #[error("you are the last manager: make another one first, or the store has none")]
    LastManager,
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl Classify for DeleteError {
    fn class(&self) -> Class {
        match self {
            Self::LastManager => Class::Conflict,
            Self::Db(error) => error.class(),
            Self::Publish(error) => error.class(),
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::LastManager => "last_manager",
            Self::Db(error) => error.code(),
            Self::Publish(error) => error.code(),
        }
    }
}

/// Deletes a person with all that is kept of them here, but for the last manager; billing hears of it and closes the account.
/// Once more changes nothing.
pub async fn delete_person(tx: &mut Tx<'_>, _: &State, id: &UserId) -> Result<(), DeleteError> {
    if people::lock_roles(tx).await? == [*id] {
        return Err(DeleteError::LastManager);
    }
    let Some(person) = people::delete(tx, *id).await? else {
        return Ok(());
    };
    // Their kept answers hold name and address.
    idempotency::forget(tx, &format!("email:{}", person.address())).await?;
    idempotency::forget(tx, &id.to_string()).await?;
    login_failures::forget(tx, person.address()).await?;
    outbox::publish(tx, &UserDeleted { user_id: *id })?;
    Ok(())
}
