use db::{DbError, Tx};
use kernel::{Class, Classify};
use outbox::PublishError;
use service_kit::{AuthError, Caller};

use super::void_tokens::void_tokens;
use crate::{
    State,
    store::{callers::calling_locked, sessions},
};

#[derive(Debug, thiserror::Error)]
pub enum LogOutError {
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl Classify for LogOutError {
    fn class(&self) -> Class {
        match self {
            Self::Auth(error) => error.class(),
            Self::Db(error) => error.class(),
            Self::Publish(error) => error.class(),
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Auth(error) => error.code(),
            Self::Db(error) => error.code(),
            Self::Publish(error) => error.code(),
        }
    }
}

/// Ends the caller's session. A repetition changes nothing.
pub async fn log_out(tx: &mut Tx<'_>, _: &State, caller: &Caller) -> Result<(), LogOutError> {
    if sessions::live(tx, caller.session).await?.is_none() {
        return Ok(());
    }
    calling_locked::<LogOutError>(tx, caller).await?;
    sessions::end(tx, caller.session).await?;
    void_tokens(tx, caller.user_id).await
}

/// Ends all sessions of the caller but this one, which goes on by its refresh token.
pub async fn log_out_elsewhere(
    tx: &mut Tx<'_>,
    _: &State,
    caller: &Caller,
) -> Result<(), LogOutError> {
    calling_locked::<LogOutError>(tx, caller).await?;
    if sessions::end_others(tx, caller.user_id, caller.session).await? > 0 {
        void_tokens::<LogOutError>(tx, caller.user_id).await?;
    }
    Ok(())
}
