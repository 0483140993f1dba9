use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use db::Db;
use kernel::{Class, Clock, cause_chain};
use rand::Rng;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    InboxSettings, Message, Metrics, Outcome, Retry, Subscriptions, apply, blocked, together::Together,
};

/// What all workers of a consumer share.
pub(crate) struct Shared<S> {
    pub subscriptions: Subscriptions<S>,
    pub state: S,
    pub db: Db,
    pub settings: InboxSettings,
    pub metrics: Metrics,
    pub clock: Clock,
    pub room: Semaphore,
}

impl<S> Shared<S> {
    pub fn consumer(&self) -> &'static str {
        self.subscriptions.name()
    }

    /// Waits until there may be one more transaction.
    pub async fn room(&self) -> tokio::sync::SemaphorePermit<'_> {
        self.room.acquire().await.expect("the semaphore is never closed")
    }
}

/// One partition's messages, one after the other.
pub(crate) struct Worker<S> {
    pub shared: Arc<Shared<S>>,
    pub together: Together,
    pub messages: mpsc::UnboundedReceiver<Message>,
    /// What of the messages is still waiting, by weight.
    pub queued: Arc<AtomicUsize>,
    pub stop: CancellationToken,
    /// Told of progress: the offset from which the group would go on.
    pub done: Box<dyn Fn(i64) + Send + Sync>,
    /// Whether the database may still say that this partition waits. The owner before this one may have said so.
    pub noted: bool,
}

impl<S: Send + Sync + 'static> Worker<S> {
    /// Works until `stop`, and then finishes what it has begun, but begins nothing more.
    pub async fn run(mut self) {
        let most = usize::from(self.shared.settings.inbox_batch);
        let stop = self.stop.clone();
        loop {
            let mut batch = Vec::new();
            let received = stop.run_until_cancelled(self.messages.recv_many(&mut batch, most));
            match received.await {
                Some(received) if received > 0 => {}
                _ => return,
            }
            let weight = batch.iter().map(Message::weight).sum();
            self.queued.fetch_sub(weight, Ordering::SeqCst);
            if !self.work_off(&Arc::new(batch)).await {
                return;
            }
        }
    }

    /// `false` if the worker was stopped before all of the batch was done.
    async fn work_off(&mut self, batch: &Arc<Vec<Message>>) -> bool {
        let [.., last] = batch.as_slice() else {
            return true;
        };
        let done_together = if batch
            .iter()
            .any(|message| self.shared.subscriptions.concerns(message))
        {
            self.apply_together(batch).await
        } else {
            self.count(batch, &vec![Outcome::Ignored; batch.len()]);
            true
        };
        if done_together {
            (self.done)(last.offset + 1);
            return true;
        }
        // One by one, so that what fails fails alone.
        for message in batch.iter() {
            if self.stop.is_cancelled() || !self.deliver_until_done(message).await {
                return false;
            }
            (self.done)(message.offset + 1);
        }
        true
    }

    async fn apply_together(&mut self, batch: &Arc<Vec<Message>>) -> bool {
        let Some(outcomes) = self.together.apply(batch).await else {
            return false;
        };
        self.count(batch, &outcomes);
        self.clear_note(&batch[0]).await;
        true
    }

    /// Tries until the message is applied or parked; `false` if the worker was stopped before.
    async fn deliver_until_done(&mut self, message: &Message) -> bool {
        let mut attempts = 0;
        let mut blocked = None;
        let outcome = loop {
            let retry = match self.deliver(message).await {
                Ok(outcome) => break outcome,
                Err(retry) => retry,
            };
            attempts += 1;
            blocked.get_or_insert_with(|| self.shared.metrics.block());
            self.shared.metrics.retried(&message.event_type);
            log_retry(message, &retry, attempts);
            if let Some(outcome) = self.wait_noted(message, &retry, attempts).await {
                break outcome;
            }
            if !self.pause(attempts).await {
                return false;
            }
        };
        self.count(std::slice::from_ref(message), &[outcome]);
        self.clear_note(message).await;
        true
    }

    async fn deliver(&self, message: &Message) -> Result<Outcome, Retry> {
        let _room = self.shared.room().await;
        let Shared {
            subscriptions,
            state,
            db,
            ..
        } = &*self.shared;
        apply::deliver(db, subscriptions, state, message).await
    }

    /// Notes that the partition waits, and parks the message if an operator wants it out of the way.
    async fn wait_noted(&mut self, message: &Message, retry: &Retry, attempts: i32) -> Option<Outcome> {
        let (db, consumer) = (&self.shared.db, self.shared.consumer());
        self.noted = true;
        // If the database is away, this is all the more a reason to wait.
        match blocked::note(db, consumer, message, attempts, &retry.cause).await {
            Ok(true) => apply::put_aside(db, consumer, message, retry.code, &retry.cause)
                .await
                .ok(),
            _ => None,
        }
    }

    /// The partition goes on: nobody must read any more that it waits.
    async fn clear_note(&mut self, message: &Message) {
        if !self.noted {
            return;
        }
        match blocked::clear(&self.shared.db, self.shared.consumer(), message).await {
            Ok(()) => self.noted = false,
            Err(error) => tracing::warn!(
                error = cause_chain(&error),
                topic = message.topic,
                partition = message.partition,
                "the note of a blocked partition stays until its next event"
            ),
        }
    }

    fn count(&self, messages: &[Message], outcomes: &[Outcome]) {
        let now = self.shared.clock.now();
        for (message, outcome) in messages.iter().zip(outcomes) {
            self.shared
                .metrics
                .count(&message.event_type, *outcome, message.time, now);
        }
    }

    /// Waits before the next attempt; `false` if the worker was stopped meanwhile.
    async fn pause(&self, attempts: i32) -> bool {
        let pause = backoff(&self.shared.settings, attempts);
        self.stop
            .run_until_cancelled(tokio::time::sleep(pause))
            .await
            .is_some()
    }
}

/// Twice as long each time, up to a limit; half of it by chance, so that partitions do not retry in step.
fn backoff(settings: &InboxSettings, attempts: i32) -> Duration {
    let doubled = settings
        .inbox_retry_first
        .saturating_mul(1 << attempts.clamp(1, 16) >> 1);
    let most = doubled.min(settings.inbox_retry_most).max(2);
    Duration::from_millis(rand::rng().random_range(most / 2..=most))
}

fn log_retry(message: &Message, retry: &Retry, attempts: i32) {
    let (event_id, event_type, key) = (message.id, &message.event_type, message.key.name());
    let Retry { class, code, cause } = retry;
    match class {
        Class::Bug => {
            tracing::error!(%event_id, event_type, key, code, cause, attempts, "event failed; its partition waits");
        }
        _ => {
            tracing::warn!(%event_id, event_type, key, code, cause, attempts, "event cannot be applied yet");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit() {
        let settings = InboxSettings::default();
        for (attempts, least, most) in [(1, 50, 100), (2, 100, 200), (4, 400, 800), (30, 5_000, 10_000)] {
            let pause = backoff(&settings, attempts).as_millis();
            assert!((least..=most).contains(&pause), "attempt {attempts}: {pause} ms");
        }
    }
}
