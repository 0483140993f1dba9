use std::{sync::Arc, time::Duration};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{Consumer, StreamConsumer},
    error::{KafkaError, KafkaResult},
};

use crate::hands::{Context, Place};

/// How long Kafka may take to answer a question for an offset.
const WITHIN: Duration = Duration::from_secs(3);

/// A partition that this consumer has, as Kafka's client knows it.
#[derive(Clone)]
pub(crate) struct Partition {
    pub consumer: Arc<StreamConsumer<Context>>,
    pub place: Place,
}

impl Partition {
    /// Says that the group is done with all before `next`. It is committed a little later.
    pub fn store(&self, next: i64) {
        let mut offsets = TopicPartitionList::new();
        let stored = offsets
            .add_partition_offset(&self.place.0, self.place.1, Offset::Offset(next))
            .and_then(|()| self.consumer.store_offsets(&offsets));
        // The partition was taken away meanwhile: its next owner meets these events again and knows
        // them.
        if let Err(error) = stored {
            tracing::debug!(%error, topic = self.place.0, partition = self.place.1, "offset not stored");
        }
    }

    /// From where the group goes on by what is committed; `None` if nothing is.
    pub async fn committed(&self) -> KafkaResult<Option<i64>> {
        self.ask(|Self { consumer, place }| {
            let committed = consumer.committed_offsets(place.list(), WITHIN)?;
            let found = committed.find_partition(&place.0, place.1);
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
    pub async fn first(&self) -> KafkaResult<i64> {
        self.ask(|Self { consumer, place }| {
            Ok(consumer.fetch_watermarks(&place.0, place.1, WITHIN)?.0)
        })
        .await
    }

    /// The client waits for the answer on the thread that asks.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(Self) -> KafkaResult<T> + Send + 'static,
    ) -> KafkaResult<T> {
        let asked = self.clone();
        let answer = tokio::task::spawn_blocking(move || question(asked));
        answer.await.unwrap_or(Err(KafkaError::Canceled))
    }
}
