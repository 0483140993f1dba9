use db::DbError;
use kernel::{Class, Classify};
use outbox::PublishError;
use service_kit::{InvalidCursor, PreconditionFailed};

use crate::domain::{booking::NotOutForDelivery, slot::SlotError, staff::ParcelDenied};

/// Why a use case of delivery fails.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    #[error("this zone is not served")]
    UnknownZone,
    #[error("there is no delivery for this order")]
    UnknownDelivery,
    #[error(transparent)]
    NotOut(#[from] NotOutForDelivery),
    #[error(transparent)]
    ParcelDenied(#[from] ParcelDenied),
    #[error(transparent)]
    Slot(#[from] SlotError),
    #[error(transparent)]
    Cursor(#[from] InvalidCursor),
    #[error(transparent)]
    Precondition(#[from] PreconditionFailed),
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl Classify for DeliveryError {
    fn class(&self) -> Class {
        match self {
            Self::UnknownZone | Self::UnknownDelivery => Class::NotFound,
            Self::NotOut(error) => error.class(),
            Self::ParcelDenied(error) => error.class(),
            Self::Slot(error) => error.class(),
            Self::Cursor(error) => error.class(),
            Self::Precondition(error) => error.class(),
            Self::Db(error) => error.class(),
            Self::Publish(error) => error.class(),
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::UnknownZone => "unknown_zone",
            Self::UnknownDelivery => "unknown_delivery",
            Self::NotOut(error) => error.code(),
            Self::ParcelDenied(error) => error.code(),
            Self::Slot(error) => error.code(),
            Self::Cursor(error) => error.code(),
            Self::Precondition(error) => error.code(),
            Self::Db(error) => error.code(),
            Self::Publish(error) => error.code(),
        }
    }
}
