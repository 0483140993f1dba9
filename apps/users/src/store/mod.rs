//! The queries of users.

pub mod people;
mod schema;
pub mod token_keys;
