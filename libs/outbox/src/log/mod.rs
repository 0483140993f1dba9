//! The outbox as a log that a relay reads: by the difference of snapshots, as PgQ did.
//!
//! `id > last` loses a transaction that drew a low position and committed late. Waiting for the
//! oldest open transaction stalls behind any long one. So the relay keeps the snapshot up to which
//! all is acknowledged, takes a new one, and reads the rows that the new one sees and the old one
//! does not.
//!
//! This is tokio-postgres and not Diesel: notifications, `xid8` and `pg_snapshot` have no place in
//! the DSL, and a row is handed to Kafka without being copied into a struct first.

mod cursor;
mod maintain;
mod portion;
mod read;
mod record;
mod session;
mod status;

pub use cursor::{Cursor, Origin, Restart};
pub use maintain::{BUCKET_SECONDS, BUCKETS, empty_bucket, publish_again};
pub use portion::Portion;
pub use read::Difference;
pub use record::Record;
pub use session::{LogError, Session};
pub use status::{OutboxStatus, status};
