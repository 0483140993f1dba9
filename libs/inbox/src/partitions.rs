//! The workers of the partitions that this consumer has.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize},
        mpsc as std_mpsc,
    },
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, task::AbortHandle};
use tokio_util::sync::CancellationToken;

use crate::{Message, topic_partition::TopicPartition};

/// How long a worker may take to finish its event when its partition is revoked. The group's
/// rebalance waits for it.
const REVOKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an aborted worker may take to end: its next await is its last one.
const ABORT_TIMEOUT: Duration = Duration::from_secs(1);

/// What the dispatcher gives a partition's worker.
#[expect(clippy::large_enum_variant, reason = "nearly all items are messages")]
pub(crate) enum WorkItem {
    Message(Message),
    /// The partition cannot be read at the moment.
    Unreadable {
        attempts: i32,
        cause: String,
    },
    /// The partition seems to be readable again.
    Readable,
}

impl WorkItem {
    /// Bytes of memory, roughly.
    pub fn memory_bytes(&self) -> usize {
        match self {
            Self::Message(message) => message.memory_bytes(),
            Self::Unreadable { .. } | Self::Readable => 0,
        }
    }
}

/// A partition's worker as the dispatcher sees it.
pub(crate) struct WorkerHandle {
    pub items: mpsc::UnboundedSender<WorkItem>,
    /// Bytes of memory of the messages that the worker has not taken yet.
    pub queued_bytes: Arc<AtomicUsize>,
    /// Whether Kafka's client has paused the partition because too much is queued.
    pub paused: Arc<AtomicBool>,
    pub stop: CancellationToken,
    /// Disconnected when the worker has ended.
    pub ended: std_mpsc::Receiver<()>,
    pub task: AbortHandle,
    /// The task that takes the partition's messages from Kafka's client.
    pub reader: Option<AbortHandle>,
}

impl Drop for WorkerHandle {
    fn drop(&mut self) {
        if let Some(reader) = &self.reader {
            reader.abort();
        }
    }
}

/// The worker of each partition that this consumer has.
#[derive(Clone, Default)]
pub(crate) struct Workers(Arc<Mutex<HashMap<TopicPartition, WorkerHandle>>>);

impl Workers {
    pub fn lock(&self) -> MutexGuard<'_, HashMap<TopicPartition, WorkerHandle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops the workers of these partitions; see [`stop_all`].
    pub fn stop(&self, partitions: &[TopicPartition]) {
        let mut workers = self.lock();
        let revoked = partitions
            .iter()
            .filter_map(|partition| workers.remove(partition))
            .collect();
        drop(workers);
        stop_all(revoked);
    }

    /// Stops the workers of all partitions.
    pub fn stop_every(&self) {
        let all = std::mem::take(&mut *self.lock()).into_values().collect();
        stop_all(all);
    }
}

/// Has workers stop and waits for them. A worker that does not stop in time is aborted, which rolls
/// its transaction back.
fn stop_all(workers: Vec<WorkerHandle>) {
    for worker in &workers {
        worker.stop.cancel();
    }
    let deadline = Instant::now() + REVOKE_TIMEOUT;
    for worker in workers {
        let left = deadline.saturating_duration_since(Instant::now());
        // The worker's task drops the sender when it ends, also when it panics or is aborted.
        if let Err(std_mpsc::RecvTimeoutError::Timeout) = worker.ended.recv_timeout(left) {
            tracing::warn!("an event takes too long to finish; it is rolled back");
            worker.task.abort();
            let _ = worker.ended.recv_timeout(ABORT_TIMEOUT);
        }
    }
}
