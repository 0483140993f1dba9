//! The inbox: every event takes effect exactly once.
//!
//! The inbox writes an event's id in the transaction of its handler, and stores the event's offset
//! after the commit. After a crash in between, Kafka delivers the event again, and the inbox finds
//! its id. One place decides by a failure's class what it means: retry and wait, or park.
//!
//! The way of a message: [`start`] joins the consumer group (`consumer.rs`); the dispatcher takes
//! messages from Kafka and gives each to the worker of its partition (`dispatcher.rs`,
//! `partitions.rs`); the worker asks the batcher to apply them with those of other partitions
//! (`worker.rs`, `batcher.rs`), which claims them and runs their handlers (`apply.rs`).

mod apply;
mod batcher;
pub mod blocked;
mod brokers;
mod consumer;
mod dispatcher;
mod failure;
pub mod gaps;
mod kafka_context;
mod key;
mod message;
mod metrics;
mod offsets;
mod outcome;
pub mod parked;
mod partitions;
mod purge;
mod replay;
mod settings;
mod shared;
mod status;
mod subscriptions;
mod topic_partition;
mod worker;

use db::Rights;
use diesel_migrations::embed_migrations;

pub use apply::deliver;
pub use consumer::{Running, StartError, start};
pub use failure::{Failure, Retry};
pub use key::Key;
pub use message::{Message, UNREADABLE_PLACE};
pub use metrics::Metrics;
pub use outcome::Outcome;
pub use settings::{INBOX_DAYS_MIN, InboxSettings};
pub use status::{InboxStatus, status};
pub use subscriptions::{Delivery, Handler, Subscriptions};

/// The inbox's tables; part of each service's database.
pub const MIGRATIONS: db::Migrations = db::Migrations::new(embed_migrations!(), &RIGHTS);

/// Who may do what with the inbox's tables. Only the tables' owner, as whom operators connect,
/// writes what operators did and asked for.
const RIGHTS: [Rights; 10] = [
    Rights::of_table("inbox")
        .service("SELECT, INSERT, DELETE")
        .reader("SELECT"),
    Rights::of_table("inbox_parked")
        .service("SELECT, INSERT, UPDATE, DELETE")
        .reader(concat!(
            "SELECT (seq, consumer, event_id, topic, partition, \"offset\", key, key_bytes, ",
            "type, code, reason, parked_at, state, changed_at)",
        )),
    Rights::of_table("inbox_blocked")
        .service("SELECT, INSERT, UPDATE, DELETE")
        .reader("SELECT"),
    Rights::of_table("inbox_park_requests").service("SELECT, DELETE"),
    Rights::of_table("inbox_positions").service("SELECT, INSERT, UPDATE"),
    Rights::of_table("inbox_gaps")
        .service("SELECT, INSERT, UPDATE")
        .reader("SELECT"),
    Rights::of_table("inbox_operations"),
    Rights::of_function("inbox_accept").service("EXECUTE"),
    Rights::of_function("inbox_accept_all").service("EXECUTE"),
    Rights::of_function("inbox_is_clear").service("EXECUTE"),
];
