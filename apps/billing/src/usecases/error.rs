use db::DbError;
use kernel::{Class, Classify};
use outbox::PublishError;
use service_kit::InvalidCursor;

use crate::domain::ledger::LedgerError;

/// Why a use case of billing fails.
#[derive(Debug, thiserror::Error)]
pub enum BillingError {
    #[error("the account is being opened; try again in a moment")]
    AccountNotOpenYet,
    #[error("this user has no account")]
    UnknownAccount,
    #[error("the account is closed")]
    AccountClosed,
    #[error("an amount is 1 to 100000000000 minor units")]
    InvalidAmount,
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Cursor(#[from] InvalidCursor),
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl Classify for BillingError {
    fn class(&self) -> Class {
        match self {
            Self::AccountNotOpenYet => Class::Unavailable,
            Self::UnknownAccount => Class::NotFound,
            Self::AccountClosed => Class::Conflict,
            Self::InvalidAmount => Class::Invalid,
            Self::Ledger(error) => error.class(),
            Self::Cursor(error) => error.class(),
            Self::Db(error) => error.class(),
            Self::Publish(error) => error.class(),
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::AccountNotOpenYet => "account_not_open_yet",
            Self::UnknownAccount => "unknown_account",
            Self::AccountClosed => "account_closed",
            Self::InvalidAmount => "invalid_amount",
            Self::Ledger(error) => error.code(),
            Self::Cursor(error) => error.code(),
            Self::Db(error) => error.code(),
            Self::Publish(error) => error.code(),
        }
    }
}
