//! What managers and couriers do, and what delivery does for orders; one operation per file.

pub mod add_slot;
pub mod assign_courier;
mod error;
pub mod follow_order;
pub mod list_deliveries;
pub mod list_slots;
pub mod list_zones;
pub mod put_zone;
pub mod report_outcome;

pub use error::DeliveryError;
