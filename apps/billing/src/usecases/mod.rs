//! What customers do with their money, and what orders do with it; one operation per file.

pub mod close_account;
mod error;
pub mod follow_order;
pub mod list_entries;
pub mod move_money;
pub mod open_account;
pub mod view_account;

pub use error::BillingError;
