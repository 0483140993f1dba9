//! The outbox as a log that a relay reads: by the difference of snapshots, as PgQ did.
//!
//! `id > last` loses a transaction that drew a low position and committed late. Waiting for the
//! oldest open transaction stalls behind any long one. So the relay keeps the snapshot up to which
//! all is acknowledged, takes a new one, and reads the rows that the new one sees and the old one
//! does not.
//!
//! The code uses tokio-postgres and not Diesel, which has no notifications, `xid8` and
//! `pg_snapshot`, and would copy each row into a struct before it goes to Kafka.

mod cursor;
mod error;
mod event;
mod maintain;
mod page_size;
mod read;
mod session;
mod statements;
mod status;

pub use cursor::{Cursor, Origin, Restart};
pub use error::LogError;
pub use event::OutboxEvent;
pub use maintain::{BUCKET_SECONDS, BUCKETS, empty_bucket, publish_again};
pub use page_size::PageSize;
pub use read::Difference;
pub use session::Session;
pub use status::{OutboxStatus, status};
