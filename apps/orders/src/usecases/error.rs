use db::DbError;
use kernel::{Class, Classify, Money};
use outbox::PublishError;
use service_kit::InvalidCursor;

use crate::domain::{lines::LinesError, stop::NoStop};

/// Why a use case of orders fails.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    #[error("there is no such order")]
    UnknownOrder,
    #[error("there is no verdict on this order; it goes on, or it is delivered")]
    NoVerdict,
    #[error(
        "the order costs {total} minor units by now; send it again with this expected_total if \
         that is all right"
    )]
    PriceChanged { total: Money },
    #[error("expected_total: 1 to 100000000000 minor units")]
    ExpectedTotal,
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
            Self::NoVerdict | Self::PriceChanged { .. } => Class::Conflict,
            Self::ExpectedTotal => Class::Invalid,
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
            Self::PriceChanged { .. } => "price_changed",
            Self::ExpectedTotal => "invalid_expected_total",
            Self::Lines(error) => error.code(),
            Self::NoStop(error) => error.code(),
            Self::Cursor(error) => error.code(),
            Self::Db(error) => error.code(),
            Self::Publish(error) => error.code(),
        }
    }

    fn total(&self) -> Option<i64> {
        match self {
            Self::PriceChanged { total } => Some(total.minor()),
            _ => None,
        }
    }
}
