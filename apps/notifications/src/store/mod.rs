//! The queries of notifications.

pub mod notifications;
mod rights;
mod schema;

pub use rights::RIGHTS;
