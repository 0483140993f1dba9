use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize},
        mpsc as std_mpsc,
    },
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, Statistics,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{Message, Metrics, brokers::Brokers};

/// What a revoked partition's worker has to finish or roll back.
const REVOKE_GRACE: Duration = Duration::from_secs(10);

/// A partition of a topic.
pub(crate) type Place = (String, i32);

/// A partition's worker as the consumer sees it.
pub(crate) struct Hand {
    pub messages: mpsc::UnboundedSender<Message>,
    /// By weight.
    pub queued: Arc<AtomicUsize>,
    pub paused: Arc<AtomicBool>,
    pub stop: CancellationToken,
    pub ended: std_mpsc::Receiver<()>,
    pub task: tokio::task::AbortHandle,
}

/// The worker of each partition that this consumer has.
#[derive(Clone, Default)]
pub(crate) struct Hands(Arc<Mutex<HashMap<Place, Hand>>>);

impl Hands {
    pub fn lock(&self) -> MutexGuard<'_, HashMap<Place, Hand>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn take_all(&self) -> Vec<Hand> {
        std::mem::take(&mut *self.lock()).into_values().collect()
    }
}

/// Sees to it that a partition is given up only when its worker has finished or rolled back.
pub(crate) struct Context {
    pub hands: Hands,
    pub brokers: Arc<Brokers>,
    pub metrics: Metrics,
    /// What topics' names begin with on the brokers.
    pub prefix: String,
}

impl ClientContext for Context {
    fn stats(&self, statistics: Statistics) {
        self.brokers.see(&statistics);
        for (name, topic) in &statistics.topics {
            // Partitions that are somebody else's have no lag here, which is said by a negative one.
            let behind = topic.partitions.values();
            let behind = behind
                .map(|one| one.consumer_lag.max(one.consumer_lag_stored).max(0))
                .sum();
            self.metrics
                .is_behind(name.strip_prefix(&self.prefix).unwrap_or(name), behind);
        }
    }
}
impl ConsumerContext for Context {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(revoked) = rebalance {
            let places = revoked
                .elements()
                .iter()
                .map(|one| (one.topic().to_owned(), one.partition()))
                .collect::<Vec<_>>();
            let mut hands = self.hands.lock();
            let given_up = places.iter().filter_map(|place| hands.remove(place)).collect();
            drop(hands);
            end(given_up);
            commit(consumer);
            // librdkafka keeps a pause beyond the assignment; a partition that comes back would stand still for ever.
            if let Err(error) = consumer.resume(revoked) {
                tracing::warn!(%error, "revoked partitions not resumed");
            }
        }
    }
}

pub(crate) fn commit<C: ConsumerContext>(consumer: &impl Consumer<C>) {
    // Without it the next owner meets some events again, which its inbox knows.
    if let Err(error) = consumer.commit_consumer_state(CommitMode::Sync) {
        tracing::debug!(%error, "offsets not committed");
    }
}

/// Tells workers to stop and waits for them; who does not stop is cut off, which rolls back.
pub(crate) fn end(hands: Vec<Hand>) {
    for hand in &hands {
        hand.stop.cancel();
    }
    let deadline = Instant::now() + REVOKE_GRACE;
    for hand in hands {
        let left = deadline.saturating_duration_since(Instant::now());
        // The sender is dropped when the worker has ended, however it did.
        if let Err(std_mpsc::RecvTimeoutError::Timeout) = hand.ended.recv_timeout(left) {
            tracing::warn!("an event takes too long to finish; it is rolled back");
            hand.task.abort();
            let _ = hand.ended.recv_timeout(Duration::from_secs(1));
        }
    }
}
