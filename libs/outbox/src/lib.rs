//! The transactional outbox: events are written in the transaction of the change that causes them,
//! into a log that a relay reads and sends to Kafka.
//!
//! [`publish`] is all that a service needs. [`log`] is the relay's side, [`parked`] the operator's.

pub mod log;
mod metrics;
pub mod parked;
mod publish;

use db::Rights;
use diesel_migrations::embed_migrations;

pub use metrics::OutboxMetrics;
pub use publish::{PublishError, declare_topics, publish};

/// The outbox's tables; part of each service's database.
pub const MIGRATIONS: db::Migrations = db::Migrations::new(embed_migrations!(), &RIGHTS);

/// Only the owner writes `outbox_operations`: operators act as the database's owner.
const RIGHTS: [Rights; 10] = [
    Rights::of_table("outbox")
        .service("SELECT, INSERT")
        .relay("SELECT")
        .reader("SELECT"),
    Rights::of_table("outbox_topics")
        .service("SELECT, INSERT")
        .reader("SELECT"),
    Rights::of_table("outbox_cursor")
        .service("SELECT")
        .relay("SELECT, UPDATE")
        .reader("SELECT"),
    Rights::of_table("outbox_parked")
        .service("SELECT")
        .relay("SELECT, INSERT, UPDATE")
        .reader("SELECT"),
    Rights::of_table("outbox_operations").reader("SELECT (operation, details)"),
    Rights::of_function("outbox_commit_is_synchronous"),
    Rights::of_function("outbox_publish_all").service("EXECUTE"),
    Rights::of_function("outbox_publish").service("EXECUTE"),
    Rights::of_function("outbox_empty_bucket").relay("EXECUTE"),
    Rights::of_function("outbox_go_on_from").relay("EXECUTE"),
];

/// The most bytes that an event's JSON may have: Kafka's default limit for a message (1 MiB), less
/// some for the key and headers.
pub const MAX_PAYLOAD_BYTES: usize = 1_000_000;
