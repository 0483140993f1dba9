//! The queries of orders.

pub mod facts;
pub mod goods;
pub mod open;
pub mod orders;
mod rights;
mod schema;

pub use rights::RIGHTS;
