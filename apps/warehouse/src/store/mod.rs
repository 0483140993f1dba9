//! The queries of the warehouse.

pub mod goods;
pub mod movements;
pub mod parcels;
mod schema;
