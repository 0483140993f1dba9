//! Keys that are parked, and what operators want done with them.

use std::{collections::HashSet, ops::RangeInclusive, sync::Arc, time::Duration};

use outbox::{log::Record, parked::TopicKey};
use tokio::time::Instant;

use super::Reader;
use crate::{producer::Trouble, relay::RelayError};

/// Between looks at what operators want done with parked keys, while there are any.
const PARKED_EVERY: Duration = Duration::from_secs(1);
/// Something that was discarded may be wanted again.
const PARKED_RARELY: Duration = Duration::from_secs(5);

impl Reader<'_> {
    pub(super) fn is_parked(&self, record: &Record) -> bool {
        // The common case costs no key.
        !self.parked.is_empty()
            && self.parked.contains_key(&TopicKey {
                topic: record.topic().to_owned(),
                key: record.key().to_owned(),
            })
    }

    /// Which events of a page were discarded. It costs a query only where some are.
    pub(super) async fn discarded(
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
        // After the keys: what an operator discards in between still counts as parked.
        self.last_discarded = self.session.last_discarded().await?;
        self.parked_at = Instant::now();
        self.metrics
            .parked
            .set(i64::try_from(self.parked.len()).unwrap_or(i64::MAX));
        Ok(())
    }

    /// Does what operators want done with parked keys. Only this task reads and sends, so a key is
    /// free exactly when it has no waiting row any more.
    pub(super) async fn see_to_parked(&mut self) -> Result<(), RelayError> {
        let pause = if self.parked.is_empty() {
            PARKED_RARELY
        } else {
            PARKED_EVERY
        };
        if self.parked_at.elapsed() < pause {
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

    async fn replay(&mut self, key: &TopicKey) -> Result<(), RelayError> {
        self.settle().await?;
        while let Some(record) = self.session.next_in_replay(key).await? {
            let (position, id) = (record.position(), record.id());
            match self.send_and_wait(Arc::new(vec![record])).await {
                Ok(()) => {
                    self.session.replayed(position).await?;
                    tracing::info!(event_id = %id, "parked event is sent");
                }
                Err(RelayError::Trouble(Trouble::Refused(refused))) => {
                    self.session
                        .refused_again(position, &refused.reason)
                        .await?;
                    return Err(Trouble::Broken(format!(
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
