//! The queries of the warehouse.

pub mod goods;
pub mod movements;
pub mod parcels;
mod rights;
mod schema;

pub use rights::RIGHTS;
