//! The queries of notifications.

pub mod notifications;
mod schema;
