//! The transactional outbox: events are written in the transaction of the change that causes them, into a log that
//! a relay reads and sends to Kafka.
//!
//! [`publish`] is all that a service needs. [`log`] is the relay's side, [`parked`] the operator's.

pub mod log;
mod metrics;
pub mod parked;
mod publish;

use diesel_migrations::embed_migrations;

pub use metrics::OutboxMetrics;
pub use publish::{PublishError, declare_topics, publish};

/// The outbox's tables; part of each service's database.
pub const MIGRATIONS: db::Migrations = embed_migrations!();

/// Bytes that an event's JSON may have: Kafka's default limit for a message, less room for key and headers.
pub const MAX_PAYLOAD: usize = 1_000_000;
