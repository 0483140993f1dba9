use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicUsize},
        mpsc as std_mpsc,
    },
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, Statistics, TopicPartitionList,
    consumer::{
        BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance, StreamConsumer,
        stream_consumer::StreamPartitionQueue,
    },
    error::KafkaError,
};
use tokio::{
    sync::{Notify, mpsc},
    task::AbortHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{Message, Metrics, brokers::Brokers};

/// What a revoked partition's worker has to finish or roll back.
const REVOKE_GRACE: Duration = Duration::from_secs(10);

/// A partition of a topic.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Place(pub String, pub i32);

impl Place {
    pub fn list(&self) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.0, self.1);
        list
    }
}

fn places(list: &TopicPartitionList) -> Vec<Place> {
    let elements = list.elements();
    let places = elements
        .iter()
        .map(|one| Place(one.topic().to_owned(), one.partition()));
    places.collect()
}

/// What a partition's worker is given.
#[expect(clippy::large_enum_variant, reason = "nearly all items are messages")]
pub(crate) enum Item {
    Message(Message),
    /// The partition cannot be read at the moment.
    Unreadable {
        attempts: i32,
        cause: String,
    },
    /// It seems to be readable again.
    Readable,
}

impl Item {
    /// As of what a worker has in hand.
    pub fn weight(&self) -> usize {
        match self {
            Self::Message(message) => message.weight(),
            Self::Unreadable { .. } | Self::Readable => 0,
        }
    }
}

/// A partition's worker as the consumer sees it.
pub(crate) struct Hand {
    pub items: mpsc::UnboundedSender<Item>,
    /// By weight.
    pub queued: Arc<AtomicUsize>,
    pub paused: Arc<AtomicBool>,
    pub stop: CancellationToken,
    pub ended: std_mpsc::Receiver<()>,
    pub task: AbortHandle,
    /// What takes the partition's messages from the client.
    pub reader: Option<AbortHandle>,
}

impl Drop for Hand {
    fn drop(&mut self) {
        if let Some(reader) = &self.reader {
            reader.abort();
        }
    }
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

/// The queues of partitions that have been assigned and are not read yet.
#[derive(Default)]
pub(crate) struct Arrivals {
    queues: Mutex<HashMap<Place, StreamPartitionQueue<Context>>>,
    come: Notify,
}

impl Arrivals {
    fn lock(&self) -> MutexGuard<'_, HashMap<Place, StreamPartitionQueue<Context>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there are some.
    pub async fn come(&self) -> HashMap<Place, StreamPartitionQueue<Context>> {
        self.come.notified().await;
        std::mem::take(&mut *self.lock())
    }
}

/// Gives each partition that is assigned a queue of its own, so that what is wrong with one is
/// known to be of that one and holds up no other; and sees to it that a partition is given up only
/// when its worker has finished or rolled back.
pub(crate) struct Context {
    pub hands: Hands,
    pub arrivals: Arc<Arrivals>,
    /// The consumer that this belongs to, once there is one.
    pub consumer: OnceLock<Weak<StreamConsumer<Context>>>,
    /// What the client said of its last error.
    pub said: Mutex<String>,
    pub brokers: Arc<Brokers>,
    pub metrics: Metrics,
    /// What topics' names begin with on the brokers.
    pub prefix: String,
}

impl Context {
    /// Says whose it is. Until then nothing is assigned.
    pub fn belong_to(&self, consumer: &Arc<StreamConsumer<Self>>) {
        self.consumer.get_or_init(|| Arc::downgrade(consumer));
    }

    /// Before its messages are asked for: else some would come by the queue of the consumer.
    fn split(&self, assigned: &TopicPartitionList) {
        let Some(consumer) = self.consumer.get().and_then(Weak::upgrade) else {
            return;
        };
        for place in places(assigned) {
            if let Some(queue) = consumer.split_partition_queue(&place.0, place.1) {
                self.arrivals.lock().insert(place, queue);
            } else {
                tracing::error!(
                    topic = place.0,
                    partition = place.1,
                    "Kafka's client has no queue for a partition"
                );
            }
        }
        self.arrivals.come.notify_one();
    }

    /// An error in the client's own words, which say more than its code.
    pub fn words(&self, error: &KafkaError) -> String {
        let said = std::mem::take(&mut *self.said.lock().unwrap_or_else(PoisonError::into_inner));
        if said.is_empty() {
            error.to_string()
        } else {
            said
        }
    }
}

impl ClientContext for Context {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka's client met an error");
        reason.clone_into(&mut self.said.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn stats(&self, statistics: Statistics) {
        self.brokers.see(&statistics);
        for (name, topic) in &statistics.topics {
            // Partitions that are somebody else's have no lag here, which is said by a negative
            // one.
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
        match rebalance {
            Rebalance::Assign(assigned) => self.split(assigned),
            Rebalance::Revoke(revoked) => {
                let places = places(revoked);
                self.arrivals
                    .lock()
                    .retain(|place, _| !places.contains(place));
                let mut hands = self.hands.lock();
                let given_up = places
                    .iter()
                    .filter_map(|place| hands.remove(place))
                    .collect();
                drop(hands);
                end(given_up);
                commit(consumer);
                // librdkafka keeps a pause beyond the assignment; a partition that comes back would
                // stand still for ever.
                if let Err(error) = consumer.resume(revoked) {
                    tracing::warn!(%error, "revoked partitions not resumed");
                }
            }
            Rebalance::Error(_) => {}
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
