//! The queries of users.

pub mod login_failures;
pub mod people;
mod schema;
pub mod token_keys;
pub mod unprepared;
