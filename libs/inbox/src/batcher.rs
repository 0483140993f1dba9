//! Events of several partitions share a transaction: they then pay once for its begin, its commit,
//! the wait for the disk, the claims of the events, and the events that their handlers publish.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::{Message, Outcome, apply, shared::Shared};

/// How long a worker waits for the batcher to claim its request, before it applies its messages
/// itself. The batcher is busy for longer only when a transaction is slow.
const CLAIM_TIMEOUT: Duration = Duration::from_millis(100);
/// How long a batch may wait for a row lock that another transaction holds. Then the batch is
/// rolled back, and each worker applies its own messages: one that waits for the lock then holds up
/// only its own partition.
const LOCK_TIMEOUT: Duration = Duration::from_millis(50);
/// How long a batch may take in all, many times what a full one needs. Then the batch is rolled
/// back, and each worker applies its own messages: a slow handler then holds up only its own
/// partition.
const BATCH_TIMEOUT: Duration = Duration::from_secs(1);
/// Bounds the wait between two batches. With a shorter wait transactions cost more, with a longer
/// one orders take longer: 12 ms is the best of those in docs/benchmarks.md.
const BATCH_DELAY_MAX: Duration = Duration::from_millis(12);
/// The wait between two batches where the subscriptions are latency tolerant. It is well below
/// [`CLAIM_TIMEOUT`], so that the batcher claims what workers send before they apply it themselves.
const TOLERANT_BATCH_DELAY: Duration = Duration::from_millis(60);

/// Messages that a worker wants applied.
struct BatchRequest {
    messages: Arc<Vec<Message>>,
    /// The side that sets it first applies the messages: the batcher, or the worker once it has
    /// waited for too long.
    claimed: Arc<AtomicBool>,
    answer: oneshot::Sender<Answer>,
}

/// What a batcher says of a request.
enum Answer {
    /// The batch is committed: what became of each message.
    Committed(Vec<Outcome>),
    /// The batch was rolled back.
    RolledBack,
}

/// Sends a worker's messages to the batcher.
#[derive(Clone)]
pub(crate) struct BatchClient(mpsc::UnboundedSender<BatchRequest>);

/// Applies the messages of several partitions in one transaction.
pub(crate) struct Batcher(mpsc::UnboundedReceiver<BatchRequest>);

/// A batcher and its client.
pub(crate) fn batcher() -> (BatchClient, Batcher) {
    let (sender, requests) = mpsc::unbounded_channel();
    (BatchClient(sender), Batcher(requests))
}

impl BatchClient {
    /// Applies the messages of a partition in one transaction with those that other partitions
    /// have at the moment.
    ///
    /// `None` says that nothing has happened, and that the worker should apply each message by
    /// itself.
    pub async fn apply(&self, messages: &Arc<Vec<Message>>) -> Option<Vec<Outcome>> {
        let claimed = Arc::new(AtomicBool::new(false));
        let (answer, mut answered) = oneshot::channel();
        let request = BatchRequest {
            messages: messages.clone(),
            claimed: claimed.clone(),
            answer,
        };
        self.0.send(request).ok()?;
        let answer = match tokio::time::timeout(CLAIM_TIMEOUT, &mut answered).await {
            Ok(answer) => answer,
            Err(_) if !claimed.swap(true, Ordering::SeqCst) => return None,
            // The batcher has claimed them, and answers when it is done.
            Err(_) => answered.await,
        };
        match answer.ok()? {
            Answer::Committed(outcomes) => Some(outcomes),
            Answer::RolledBack => None,
        }
    }
}

impl Batcher {
    /// Runs one transaction after the other, each with all messages that workers have sent by
    /// then, until no client is left.
    pub async fn run<S: Send + Sync + 'static>(mut self, shared: Arc<Shared<S>>) {
        let size_max = usize::from(shared.settings.inbox_batch);
        // Halved after a failure, and one more after a success: the larger the batches of several
        // replicas are, the sooner two of them wait for each other's rows.
        let mut size = size_max;
        let mut next_batch_at = Instant::now();
        loop {
            tokio::time::sleep_until(next_batch_at).await;
            let Some(requests) = self.claim(size).await else {
                return;
            };
            let messages: Vec<&Message> = requests
                .iter()
                .flat_map(|request| request.messages.iter())
                .collect();
            let events = messages.len();
            let is_full = events >= size;
            let _permit = shared.permit().await;
            let began = Instant::now();
            if let Some(outcomes) = apply_batch(&shared, &messages).await {
                size = size_max.min(size + 1);
                let mut outcomes = outcomes.into_iter();
                for request in requests {
                    let of_request = outcomes.by_ref().take(request.messages.len()).collect();
                    // A worker that was aborted meanwhile does not listen. The next owner of its
                    // partition gets the messages again, and finds them in the inbox.
                    let _ = request.answer.send(Answer::Committed(of_request));
                }
            } else {
                size = (size / 2).max(1);
                for request in requests {
                    let _ = request.answer.send(Answer::RolledBack);
                }
            }
            next_batch_at = Instant::now();
            // After a full batch more messages are there already.
            if !is_full {
                next_batch_at += if shared.subscriptions.is_latency_tolerant() {
                    TOLERANT_BATCH_DELAY
                } else {
                    batch_delay(next_batch_at - began, events)
                };
            }
        }
    }

    /// Claims requests until they have `size` messages or more, or no request is left. Waits for
    /// the first one; `None` when no client is left.
    async fn claim(&mut self, size: usize) -> Option<Vec<BatchRequest>> {
        let mut requests = Vec::new();
        let mut count = 0;
        let mut next = Some(self.0.recv().await?);
        while let Some(request) = next {
            if !request.claimed.swap(true, Ordering::SeqCst) {
                count += request.messages.len();
                requests.push(request);
            }
            next = if count < size {
                self.0.try_recv().ok()
            } else {
                None
            };
        }
        Some(requests)
    }
}

/// Applies all messages in one transaction; `None` if it was rolled back.
async fn apply_batch<S: Send + Sync + 'static>(
    shared: &Shared<S>,
    messages: &[&Message],
) -> Option<Vec<Outcome>> {
    let Shared {
        db,
        subscriptions,
        state,
        ..
    } = shared;
    let events = messages.len();
    let batch = apply::apply_batch(db, subscriptions, state, messages, LOCK_TIMEOUT);
    match tokio::time::timeout(BATCH_TIMEOUT, batch).await {
        Ok(Ok(outcomes)) => Some(outcomes),
        Ok(Err(failure)) => {
            // The worker of the event that failed logs it once more, with its id.
            tracing::debug!(
                ?failure,
                events,
                "a batch failed; its events are applied one by one"
            );
            None
        }
        Err(_) => {
            tracing::warn!(
                events,
                timeout_ms = BATCH_TIMEOUT.as_millis(),
                "a batch takes too long; its events are applied one by one"
            );
            None
        }
    }
}

/// The wait after a batch: the time that it took, for each of its events but the first.
///
/// After an event that came alone there is no wait. The more events come at once, the more of them
/// share the next batch, and the fewer transactions there are.
fn batch_delay(took: Duration, events: usize) -> Duration {
    let others = u32::try_from(events.saturating_sub(1)).unwrap_or(u32::MAX);
    took.saturating_mul(others).min(BATCH_DELAY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_came_at_once_the_longer_is_the_rest() {
        let took = Duration::from_millis(5);
        for (events, millis) in [(0, 0), (1, 0), (2, 5), (3, 10), (50, 12), (usize::MAX, 12)] {
            assert_eq!(
                batch_delay(took, events),
                Duration::from_millis(millis),
                "{events} events"
            );
        }
    }
}
