//! The queries of users.

pub mod callers;
pub mod first_passwords;
pub mod login_failures;
pub mod people;
mod person;
mod rights;
mod schema;
pub mod sessions;
pub mod token_keys;
pub mod unprepared;

pub use rights::RIGHTS;
