//! A store for one test: databases and topics of its own, services, relays and gateway in this
//! process.

mod catalogue;
mod lossy;
mod operations;
mod prometheus;
mod requests;
mod secure;
mod store;

pub use catalogue::Catalogue;
pub use lossy::Lossy;
pub use operations::{Operation, Place, body_of, operations};
pub use prometheus::{Prometheus, Samples};
pub use requests::{MustSucceed, WITHIN, wait_for_status};
pub use secure::{Secure, greets};
pub use store::{PARTITIONS, SERVICES, Store, TOKEN_KEY_SECRET, each, service, session};
