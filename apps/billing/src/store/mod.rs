//! The queries of billing.

pub mod accounts;
pub mod holds;
pub mod ledger;
mod schema;
