//! The one way to a service's database: a pool, and transactions that cannot be had in any other
//! way.

mod blockers;
mod cached;
mod error;
mod metrics;
mod migrate;
mod pool;
mod postgres;
mod pulse;
mod rights;
mod rows;
mod transaction;

pub use blockers::{Blocker, Blockers};
pub use cached::{Cached, cached};
pub use error::{DbError, OUTCOME_UNKNOWN, UnknownValue};
pub use migrate::{MigrateError, Migrations, migrate};
pub use pool::{Db, DbSettings};
pub use postgres::PostgresMetrics;
pub use pulse::Pulse;
pub use rights::Rights;
pub use rows::LockedRow;
pub use transaction::{Gathered, Tx, Work, WorkOn};

/// Advisory locks in their two-integer form; one class per purpose, so that no two of them ever
/// meet.
pub mod lock_class {
    /// One migration at a time.
    pub const MIGRATION: i32 = 1;
    /// One transaction at a time publishes for a key.
    pub const OUTBOX_KEY: i32 = 2;
    /// Held by the relay while it sleeps, shared by publishers.
    pub const OUTBOX_SLEEP: i32 = 3;
    /// One active relay.
    pub const OUTBOX_RELAY: i32 = 4;
    /// One request at a time for a caller's idempotency key.
    pub const IDEMPOTENCY_KEY: i32 = 5;
    /// A parked key of a consumer.
    pub const INBOX_KEY: i32 = 6;
    /// One transaction at a time adds what users are told of an order.
    pub const TOLD_ORDER: i32 = 7;
    /// Of the service users: one transaction at a time prepares addresses, one gives or takes
    /// roles.
    pub const USERS: i32 = 20;
}
