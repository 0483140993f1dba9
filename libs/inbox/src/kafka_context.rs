//! What Kafka's client calls: at a rebalance, with an error, and with its statistics.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
};

use rdkafka::{
    ClientContext, Statistics, TopicPartitionList,
    consumer::{
        BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance, StreamConsumer,
        stream_consumer::StreamPartitionQueue,
    },
    error::KafkaError,
};
use tokio::sync::Notify;

use crate::{Metrics, brokers::Brokers, partitions::Workers, topic_partition::TopicPartition};

/// The queue of each partition that has been assigned and has no reader yet.
#[derive(Default)]
pub(crate) struct AssignedQueues {
    queues: Mutex<HashMap<TopicPartition, StreamPartitionQueue<KafkaContext>>>,
    added: Notify,
}

impl AssignedQueues {
    fn lock(&self) -> MutexGuard<'_, HashMap<TopicPartition, StreamPartitionQueue<KafkaContext>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for an assignment and takes its queues.
    pub async fn take(&self) -> HashMap<TopicPartition, StreamPartitionQueue<KafkaContext>> {
        self.added.notified().await;
        std::mem::take(&mut *self.lock())
    }
}

/// What Kafka's client calls.
///
/// It gives each assigned partition a queue of its own, so that an error is known to belong to one
/// partition and holds up no other. It gives a partition back only when the partition's worker has
/// finished or rolled back.
pub(crate) struct KafkaContext {
    pub workers: Workers,
    pub assigned: Arc<AssignedQueues>,
    /// The consumer that this context belongs to; see [`KafkaContext::set_consumer`].
    pub consumer: OnceLock<Weak<StreamConsumer<KafkaContext>>>,
    /// How the client described its last error; empty if it did not.
    pub last_error: Mutex<String>,
    pub brokers: Arc<Brokers>,
    pub metrics: Metrics,
    /// The prefix of topics' names on the brokers.
    pub prefix: String,
}

impl KafkaContext {
    /// Sets the consumer that this context belongs to, before it subscribes.
    pub fn set_consumer(&self, consumer: &Arc<StreamConsumer<Self>>) {
        self.consumer.get_or_init(|| Arc::downgrade(consumer));
    }

    /// Gives each partition a queue of its own. This happens before the client asks for messages:
    /// otherwise some of them would come by the consumer's common queue.
    fn split_queues(&self, assigned: &TopicPartitionList) {
        let Some(consumer) = self.consumer.get().and_then(Weak::upgrade) else {
            return;
        };
        for assigned in TopicPartition::all_of(assigned) {
            let TopicPartition { topic, partition } = &assigned;
            if let Some(queue) = consumer.split_partition_queue(topic, *partition) {
                self.assigned.lock().insert(assigned, queue);
            } else {
                tracing::error!(
                    topic,
                    partition,
                    "Kafka's client has no queue for a partition"
                );
            }
        }
        self.assigned.added.notify_one();
    }

    /// The client's description of an error, which says more than the error's code.
    pub fn describe(&self, error: &KafkaError) -> String {
        let mut last_error = self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let description = std::mem::take(&mut *last_error);
        if description.is_empty() {
            error.to_string()
        } else {
            description
        }
    }
}

impl ClientContext for KafkaContext {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka's client met an error");
        let mut last_error = self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        reason.clone_into(&mut last_error);
    }

    fn stats(&self, statistics: Statistics) {
        self.brokers.observe(&statistics);
        for (name, topic) in &statistics.topics {
            // The lag of a partition that another member has is negative here.
            let lag = topic
                .partitions
                .values()
                .map(|partition| {
                    let lag = partition.consumer_lag.max(partition.consumer_lag_stored);
                    lag.max(0)
                })
                .sum();
            self.metrics
                .set_lag(name.strip_prefix(&self.prefix).unwrap_or(name), lag);
        }
    }
}

impl ConsumerContext for KafkaContext {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(assigned) => self.split_queues(assigned),
            Rebalance::Revoke(list) => {
                let revoked = TopicPartition::all_of(list);
                self.assigned
                    .lock()
                    .retain(|partition, _| !revoked.contains(partition));
                self.workers.stop(&revoked);
                commit(consumer);
                // librdkafka keeps a pause beyond the assignment: a partition that is assigned
                // again would stay paused.
                if let Err(error) = consumer.resume(list) {
                    tracing::warn!(%error, "revoked partitions not resumed");
                }
            }
            Rebalance::Error(_) => {}
        }
    }
}

/// Commits the stored offsets. If that fails, the next owner of a partition gets some events again,
/// and finds them in its inbox.
pub(crate) fn commit<C: ConsumerContext>(consumer: &impl Consumer<C>) {
    if let Err(error) = consumer.commit_consumer_state(CommitMode::Sync) {
        tracing::debug!(%error, "offsets not committed");
    }
}
