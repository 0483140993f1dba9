//! The keys that have parked events, and the replay of those that operators want replayed.

use std::{collections::HashSet, ops::RangeInclusive, sync::Arc, time::Duration};

use outbox::{log::OutboxEvent, parked::TopicKey};
use tokio::time::Instant;

use super::Reader;
use crate::{error::RelayError, producer::shared::ProducerError};

/// Between reads of the parked keys while there are any: it bounds how long an operator waits for a
/// replay.
const PARKED_READ_INTERVAL: Duration = Duration::from_secs(1);
/// Between reads while no key is parked. An operator may still have a discarded event replayed.
const NONE_PARKED_READ_INTERVAL: Duration = Duration::from_secs(5);

impl Reader<'_> {
    pub(super) fn is_parked(&self, event: &OutboxEvent) -> bool {
        // The common case makes no copy of the key.
        !self.parked.is_empty()
            && self.parked.contains_key(&TopicKey {
                topic: event.topic().to_owned(),
                key: event.key().to_owned(),
            })
    }

    /// The positions of a page's discarded events. It costs a query only where there may be some.
    pub(super) async fn discarded_among(
        &self,
        page: RangeInclusive<i64>,
    ) -> Result<HashSet<i64>, RelayError> {
        let (first, last) = page.into_inner();
        if self
            .last_discarded
            .is_none_or(|discarded| discarded < first)
        {
            return Ok(HashSet::new());
        }
        Ok(self.session.discarded(first, last).await?)
    }

    pub(super) async fn load_parked(&mut self) -> Result<(), RelayError> {
        self.parked = self.session.parked_keys().await?.into_iter().collect();
        // Read after the keys: an event that an operator discards in between still counts as
        // parked.
        self.last_discarded = self.session.last_discarded().await?;
        self.parked_read_at = Instant::now();
        self.metrics
            .parked
            .set(i64::try_from(self.parked.len()).unwrap_or(i64::MAX));
        Ok(())
    }

    /// Replays the events that operators want replayed. Only this task reads and sends, so later
    /// events of a key may go as soon as none of its events is parked or in replay.
    pub(super) async fn process_parked(&mut self) -> Result<(), RelayError> {
        let interval = if self.parked.is_empty() {
            NONE_PARKED_READ_INTERVAL
        } else {
            PARKED_READ_INTERVAL
        };
        if self.parked_read_at.elapsed() < interval {
            return Ok(());
        }
        self.load_parked().await?;
        let in_replay: Vec<TopicKey> = self
            .parked
            .iter()
            .filter(|(_, replay)| **replay)
            .map(|(key, _)| key.clone())
            .collect();
        for key in in_replay {
            self.replay(&key).await?;
        }
        Ok(())
    }

    /// Sends the events of a key that are in replay, one at a time, in their order.
    async fn replay(&mut self, key: &TopicKey) -> Result<(), RelayError> {
        self.wait_for_acks().await?;
        while let Some(event) = self.session.next_in_replay(key).await? {
            let (position, id) = (event.position(), event.id());
            match self.send_and_wait(Arc::new(vec![event])).await {
                Ok(()) => {
                    self.session.mark_replayed(position).await?;
                    tracing::info!(event_id = %id, "parked event is sent");
                }
                Err(RelayError::Producer(ProducerError::Refused(refused))) => {
                    self.session.park_again(position, &refused.reason).await?;
                    return Err(ProducerError::Broken(format!(
                        "a replayed event was refused again: {}",
                        refused.reason
                    ))
                    .into());
                }
                Err(error) => return Err(error),
            }
        }
        self.load_parked().await
    }
}
