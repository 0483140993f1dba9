//! A store for one test: databases and topics of its own, services, relays and gateway in this
//! process.

mod lossy;
mod operations;
mod prometheus;
mod secure;
mod shop;
mod store;

pub use lossy::Lossy;
pub use operations::{Operation, Place, body_of, operations};
pub use prometheus::{Prometheus, Samples};
pub use secure::{Secure, greets};
pub use shop::{Shop, WITHIN};
pub use store::{PARTITIONS, SERVICES, Store, TOKEN_KEY_SECRET, each, service, session};
