//! The relay: reads a service's outbox and sends it to Kafka.
//!
//! One task reads the database and keeps the cursor; one thread feeds Kafka's producer. What the
//! reader knows of snapshots ends with its connection: a new one starts from the saved cursor.
//!
//! [`Progress`], [`Acks`] and [`Opening`] decide, without I/O, what to read next, what may be sent
//! and what may be saved. A model checker drives them, see docs/relay-model.md.

mod acks;
mod error;
mod feeder;
mod maintain;
mod message;
mod metrics;
mod opening;
mod partitioner;
mod producer;
mod progress;
mod reader;
mod relay;
mod running;
mod settings;

pub use acks::Acks;
pub use opening::{Destination, Opening};
pub use producer::config::producer_config;
pub use progress::Progress;
pub use running::{Running, run, start};
pub use settings::{GoOnFrom, OnPromotion, RelaySettings};
