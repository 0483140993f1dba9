//! The queries of delivery.

pub mod bookings;
mod rights;
mod schema;
pub mod slots;
pub mod zones;

pub use rights::RIGHTS;
