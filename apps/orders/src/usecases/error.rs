use db::DbError;
use kernel::{Class, Classify};
use outbox::PublishError;
use service_kit::InvalidCursor;

use crate::domain::{lines::LinesError, stop::NoStop};

/// Why orders does not do it.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    #[error("there is no such order")]
    UnknownOrder,
    #[error("there is no verdict on this order; it goes on, or it is delivered")]
    NoVerdict,
    #[error(transparent)]
    Lines(#[from] LinesError),
    #[error(transparent)]
    NoStop(#[from] NoStop),
    #[error(transparent)]
    Cursor(#[from] InvalidCursor),
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl Classify for OrderError {
    fn class(&self) -> Class {
        match self {
            Self::UnknownOrder => Class::NotFound,
            Self::NoVerdict => Class::Conflict,
            Self::Lines(error) => error.class(),
            Self::NoStop(error) => error.class(),
            Self::Cursor(error) => error.class(),
            Self::Db(error) => error.class(),
            Self::Publish(error) => error.class(),
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::UnknownOrder => "unknown_order",
            Self::NoVerdict => "no_verdict",
            Self::Lines(error) => error.code(),
            Self::NoStop(error) => error.code(),
            Self::Cursor(error) => error.code(),
            Self::Db(error) => error.code(),
            Self::Publish(error) => error.code(),
        }
    }
}
