use db::DbError;
use kernel::{Class, Classify};
use outbox::PublishError;
use service_kit::{InvalidCursor, PreconditionFailed};

use crate::domain::{goods::GoodsError, shelf::ShelfError};

/// Why a use case of the warehouse fails.
#[derive(Debug, thiserror::Error)]
pub enum WarehouseError {
    #[error("there are no goods with this SKU")]
    UnknownSku,
    #[error(transparent)]
    Goods(#[from] GoodsError),
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    #[error(transparent)]
    Cursor(#[from] InvalidCursor),
    #[error(transparent)]
    Precondition(#[from] PreconditionFailed),
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl Classify for WarehouseError {
    fn class(&self) -> Class {
        match self {
            Self::UnknownSku => Class::NotFound,
            Self::Goods(error) => error.class(),
            Self::Shelf(error) => error.class(),
            Self::Cursor(error) => error.class(),
            Self::Precondition(error) => error.class(),
            Self::Db(error) => error.class(),
            Self::Publish(error) => error.class(),
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::UnknownSku => "unknown_sku",
            Self::Goods(error) => error.code(),
            Self::Shelf(error) => error.code(),
            Self::Cursor(error) => error.code(),
            Self::Precondition(error) => error.code(),
            Self::Db(error) => error.code(),
            Self::Publish(error) => error.code(),
        }
    }
}
