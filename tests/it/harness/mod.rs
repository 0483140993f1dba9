//! A store for one test: databases and topics of its own, services, relays and gateway in this process.

mod shop;
mod store;

pub use shop::{Shop, WITHIN};
pub use store::{PARTITIONS, Store};
