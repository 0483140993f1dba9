use contracts::users::UserDeleted;
use db::{DbError, Tx};
use kernel::{Class, Classify, UserId};
use outbox::PublishError;
use service_kit::{PreconditionFailed, Preconditions};

use crate::{State, store::people};

#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
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
            Self::Precondition(error) => error.class(),
            Self::Db(error) => error.class(),
            Self::Publish(error) => error.class(),
        }
    }
    fn code(&self) -> &'static str {
        match self {
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

/// Deletes a person with all that is kept of them here; billing hears of it and closes the account. Once more changes
/// nothing.
pub async fn delete_person(tx: &mut Tx<'_>, _: &State, wish: &DeletePerson) -> Result<(), DeleteError> {
    let id = wish.id;
    if let Some(person) = people::locked(tx, id).await? {
        wish.preconditions.check(Some(person.version))?;
    }
    let Some(email) = people::delete(tx, id).await? else {
        return Ok(());
    };
    // Their kept answers hold name and address.
    idempotency::forget(tx, &format!("email:{email}")).await?;
    idempotency::forget(tx, &id.to_string()).await?;
    outbox::publish(tx, &UserDeleted { user_id: id })?;
    Ok(())
}
