//! The queries of orders.

pub mod facts;
pub mod goods;
pub mod orders;
mod schema;
