use std::error::Error;

use chrono::{DateTime, Utc};
use tokio_postgres::{
    Row,
    types::{FromSql, Type, accepts},
};
use uuid::Uuid;

/// One event of the log. It keeps the row as the database sent it, and copies nothing.
pub struct OutboxEvent(Row);

/// The columns of an event, in the order in which it reads them.
pub(crate) const COLUMNS: &str = "position, id, topic, key, type, payload, headers, recorded_at";

impl OutboxEvent {
    /// The event of a row that begins with [`COLUMNS`].
    pub(crate) fn new(row: Row) -> Self {
        Self(row)
    }

    pub fn position(&self) -> i64 {
        self.0.get(0)
    }
    pub fn id(&self) -> Uuid {
        self.0.get(1)
    }
    pub fn topic(&self) -> &str {
        self.0.get(2)
    }
    pub fn key(&self) -> &str {
        self.0.get(3)
    }
    pub fn event_type(&self) -> &str {
        self.0.get(4)
    }
    pub fn payload(&self) -> &str {
        self.0.get(5)
    }
    /// The same as [`OutboxEvent::payload`], without a check for UTF-8: the database has checked
    /// it.
    pub fn payload_bytes(&self) -> &[u8] {
        let Bytes(payload) = self.0.get(5);
        payload
    }
    /// The traceparent of the request that published the event.
    pub fn traceparent(&self) -> Option<&str> {
        self.0.get(6)
    }
    pub fn recorded_at(&self) -> DateTime<Utc> {
        self.0.get(7)
    }
}

/// A text as the database sent it.
struct Bytes<'r>(&'r [u8]);

impl<'r> FromSql<'r> for Bytes<'r> {
    fn from_sql(_: &Type, sent: &'r [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(sent))
    }

    accepts!(TEXT);
}
