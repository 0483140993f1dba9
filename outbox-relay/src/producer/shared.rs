use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64},
};

use tokio::sync::Notify;

use crate::acks::Refused;

/// The state that the producer shares with the feeder, which runs on a thread of its own.
#[derive(Default)]
pub struct SharedState {
    /// The number of events, from the first on, that are all acknowledged.
    pub prefix: AtomicU64,
    /// Notified when `prefix` has changed.
    pub acknowledged: Notify,
    /// Why the producer cannot go on.
    error: Mutex<Option<ProducerError>>,
    /// Tells the feeder to end.
    pub is_stopped: AtomicBool,
}

impl SharedState {
    pub fn error(&self) -> MutexGuard<'_, Option<ProducerError>> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why this producer cannot go on. The next one starts from the saved cursor.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProducerError {
    #[error("Kafka refused the event at position {}: {}", .0.position, .0.reason)]
    Refused(Refused),
    #[error("Kafka's producer cannot go on: {0}")]
    Broken(String),
}
