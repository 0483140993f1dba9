//! The queries of delivery.

pub mod bookings;
mod schema;
pub mod slots;
pub mod zones;
