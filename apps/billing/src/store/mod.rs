//! The queries of billing.

pub mod accounts;
pub mod holds;
pub mod ledger;
mod rights;
mod schema;

pub use rights::RIGHTS;
