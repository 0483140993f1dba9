use std::{sync::Arc, time::Duration};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{Consumer, StreamConsumer},
    error::{KafkaError, KafkaResult},
};

use crate::{kafka_context::KafkaContext, topic_partition::TopicPartition};

/// How long Kafka may take to answer a question for an offset. The worker asks again after it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// Stores and reads the offsets of a partition that this consumer has.
#[derive(Clone)]
pub(crate) struct PartitionOffsets {
    pub consumer: Arc<StreamConsumer<KafkaContext>>,
    pub topic_partition: TopicPartition,
}

impl PartitionOffsets {
    /// Stores that the group has done everything before `next`. The client commits it a little
    /// later.
    pub fn store(&self, next: i64) {
        let TopicPartition { topic, partition } = &self.topic_partition;
        let mut offsets = TopicPartitionList::new();
        let stored = offsets
            .add_partition_offset(topic, *partition, Offset::Offset(next))
            .and_then(|()| self.consumer.store_offsets(&offsets));
        // The partition was revoked meanwhile. Its next owner gets these events again, and finds
        // them in the inbox.
        if let Err(error) = stored {
            tracing::debug!(%error, topic, partition, "offset not stored");
        }
    }

    /// The offset from which the group goes on, as it is committed; `None` if none is.
    pub async fn committed(&self) -> KafkaResult<Option<i64>> {
        self.ask(|offsets| {
            let TopicPartition { topic, partition } = &offsets.topic_partition;
            let list = offsets.topic_partition.to_list();
            let committed = offsets.consumer.committed_offsets(list, ANSWER_TIMEOUT)?;
            let found = committed.find_partition(topic, *partition);
            found.map_or(Ok(None), |found| {
                found.error()?;
                Ok(match found.offset() {
                    Offset::Offset(next) => Some(next),
                    _ => None,
                })
            })
        })
        .await
    }

    /// The first offset that Kafka still has.
    pub async fn earliest(&self) -> KafkaResult<i64> {
        self.ask(|offsets| {
            let TopicPartition { topic, partition } = &offsets.topic_partition;
            let (earliest, _) =
                offsets
                    .consumer
                    .fetch_watermarks(topic, *partition, ANSWER_TIMEOUT)?;
            Ok(earliest)
        })
        .await
    }

    /// Asks Kafka on a thread of its own: the client blocks it until the answer is there.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(Self) -> KafkaResult<T> + Send + 'static,
    ) -> KafkaResult<T> {
        let offsets = self.clone();
        let answer = tokio::task::spawn_blocking(move || question(offsets));
        answer.await.unwrap_or(Err(KafkaError::Canceled))
    }
}
