//! Access to a service's database: a pool, and transactions, which exist only inside
//! [`Db::transaction`].

mod blockers;
mod cached;
mod connection;
mod error;
mod heartbeat;
mod metrics;
mod migrate;
mod pool;
mod postgres;
mod rights;
mod rows;
mod transaction;

pub use blockers::{Blocker, Blockers};
pub use cached::{Cached, cached};
pub use error::{DbError, OUTCOME_UNKNOWN, UnknownValue};
pub use heartbeat::Heartbeat;
pub use migrate::{MigrateError, Migrations, migrate};
pub use pool::{Db, DbSettings};
pub use postgres::PostgresMetrics;
pub use rights::Rights;
pub use rows::LockedRow;
pub use transaction::{DeferredWrite, Tx, Work, WorkOn};

/// The classes of advisory locks in their two-integer form: one for each purpose, so that locks of
/// different purposes never conflict.
pub mod lock_class {
    /// One process at a time migrates the database.
    pub const MIGRATION: i32 = 1;
    /// One transaction at a time publishes for a key.
    pub const OUTBOX_KEY: i32 = 2;
    /// The relay holds it while it sleeps; publishers share it.
    pub const OUTBOX_SLEEP: i32 = 3;
    /// One relay at a time leads.
    pub const OUTBOX_RELAY: i32 = 4;
    /// One request at a time uses a caller's idempotency key.
    pub const IDEMPOTENCY_KEY: i32 = 5;
    /// One transaction at a time changes a consumer's parked key.
    pub const INBOX_KEY: i32 = 6;
    /// One transaction at a time adds what users are told of an order.
    pub const TOLD_ORDER: i32 = 7;
    /// Of the service users: one transaction at a time prepares addresses, one gives or takes
    /// roles.
    pub const USERS: i32 = 20;
}
