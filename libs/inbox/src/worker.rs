use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use db::Db;
use kernel::{Class, Clock, cause_chain, shown};
use rand::Rng;
use tokio::{
    sync::{Semaphore, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    InboxSettings, Message, Metrics, Outcome, Retry, Subscriptions, apply, blocked, gaps,
    hands::{Item, Place},
    metrics::Unreadable,
    partition::Partition,
    together::Together,
};

/// How often a worker notes up to where it has read.
const NOTE_EVERY: Duration = Duration::from_secs(60);
/// Characters at most of why a partition cannot be read.
const CAUSE: usize = 1000;

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
        self.room
            .acquire()
            .await
            .expect("the semaphore is never closed")
    }
}

/// One partition's messages, one after the other.
pub(crate) struct Worker<S> {
    pub shared: Arc<Shared<S>>,
    pub together: Together,
    pub items: mpsc::UnboundedReceiver<Item>,
    /// What of the messages is still waiting, by weight.
    pub queued: Arc<AtomicUsize>,
    pub stop: CancellationToken,
    /// Told of progress: the offset from which the group would go on.
    pub done: Box<dyn Fn(i64) + Send + Sync>,
    pub partition: Partition,
    /// Whether the database may still say that this partition waits. The owner before this one may
    /// have said so.
    pub noted: bool,
    /// While the partition cannot be read.
    pub unreadable: Option<Unreadable>,
    /// The offset that comes next, if that is known.
    pub next: Option<i64>,
    pub position: Position,
}

/// What is to be noted of how far a worker has read.
pub(crate) struct Position {
    next: Option<i64>,
    due: Instant,
}

impl Default for Position {
    fn default() -> Self {
        Self {
            next: None,
            due: Instant::now() + NOTE_EVERY,
        }
    }
}

impl<S: Send + Sync + 'static> Worker<S> {
    /// Works until `stop`, and then finishes what it has begun, but begins nothing more.
    pub async fn run(mut self) {
        if !self.begin().await {
            return;
        }
        while let Some(items) = self.receive().await {
            let mut batch = Vec::new();
            for item in items {
                let goes_on = match item {
                    Item::Message(message) => {
                        let goes_on = match self.jumped_from(&message) {
                            Some(next) => {
                                self.work_off(std::mem::take(&mut batch)).await
                                    && self.look_behind(next).await.is_some()
                            }
                            None => true,
                        };
                        batch.push(message);
                        goes_on
                    }
                    Item::Unreadable { attempts, cause } => {
                        self.work_off(std::mem::take(&mut batch)).await
                            && self.cannot_be_read(attempts, &cause).await
                    }
                    Item::Readable => {
                        self.unreadable = None;
                        self.clear_note().await;
                        true
                    }
                };
                if !goes_on {
                    return;
                }
            }
            if !self.work_off(batch).await {
                return;
            }
        }
    }

    /// What has come; `None` if there is to be no more.
    async fn receive(&mut self) -> Option<Vec<Item>> {
        let most = usize::from(self.shared.settings.inbox_batch);
        let stop = self.stop.clone();
        let mut items = Vec::new();
        loop {
            let received = self.items.recv_many(&mut items, most);
            let received = stop.run_until_cancelled(async {
                match self.position.next {
                    Some(_) => tokio::time::timeout_at(self.position.due, received)
                        .await
                        .ok(),
                    None => Some(received.await),
                }
            });
            match received.await? {
                Some(0) => return None,
                Some(_) => break,
                None => self.note_position().await,
            }
        }
        let weight = items.iter().map(Item::weight).sum();
        self.queued.fetch_sub(weight, Ordering::SeqCst);
        Some(items)
    }

    /// Sees whether Kafka has deleted what comes after that which is done. `false` if the worker
    /// was stopped before it knew.
    async fn begin(&mut self) -> bool {
        let mut attempts = 0;
        loop {
            match self.where_to_begin().await {
                Ok(None) => return true,
                Ok(Some(next)) => {
                    self.next = self.look_behind(next).await;
                    return self.next.is_some();
                }
                Err(cause) => {
                    let Place(topic, partition) = &self.partition.place;
                    tracing::warn!(
                        topic,
                        partition,
                        cause,
                        "it is not known yet from where a partition is to be read; it waits"
                    );
                }
            }
            attempts += 1;
            if !self.pause(attempts).await {
                return false;
            }
        }
    }

    /// What is committed is exact. Where Kafka has forgotten that, as it does when a group was away
    /// for long, what was noted here may be a minute older.
    async fn where_to_begin(&self) -> Result<Option<i64>, String> {
        let (db, consumer) = (&self.shared.db, self.shared.consumer());
        match self.partition.committed().await {
            Ok(Some(next)) => Ok(Some(next)),
            Ok(None) => gaps::position(db, consumer, &self.partition.place)
                .await
                .map_err(|error| cause_chain(&error)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// What was to come, if it is not this message.
    fn jumped_from(&mut self, message: &Message) -> Option<i64> {
        let expected = self.next.replace(message.offset + 1);
        expected.filter(|next| message.offset > *next)
    }

    /// Sees whether Kafka has deleted what was to come, at `next`, and notes it. What comes now, if
    /// it was; `None` if the worker was stopped before it knew.
    async fn look_behind(&self, next: i64) -> Option<i64> {
        let mut attempts = 0;
        loop {
            match self.note_gap(next).await {
                Ok(first) => return Some(next.max(first)),
                Err(cause) => {
                    tracing::debug!(cause, "not known yet whether Kafka has deleted anything");
                }
            }
            attempts += 1;
            if !self.pause(attempts).await {
                return None;
            }
        }
    }

    /// The first offset that Kafka has. If that is behind `next`, a gap is noted. If not, nothing
    /// was lost: there are offsets without a message, such as those of transactions.
    async fn note_gap(&self, next: i64) -> Result<i64, String> {
        let place = &self.partition.place;
        let first = self
            .partition
            .first()
            .await
            .map_err(|error| error.to_string())?;
        if first > next {
            gaps::note(&self.shared.db, self.shared.consumer(), place, next, first)
                .await
                .map_err(|error| cause_chain(&error))?;
            tracing::error!(
                topic = place.0,
                partition = place.1,
                first = next,
                next = first,
                "Kafka deleted messages before they were read"
            );
        }
        Ok(first)
    }

    /// Notes that the partition waits, as for an event.
    async fn cannot_be_read(&mut self, attempts: i32, cause: &str) -> bool {
        let (db, consumer) = (&self.shared.db, self.shared.consumer());
        let there = Message::unreadable_at(&self.partition.place, self.next.unwrap_or_default());
        let cause = shown(cause.as_bytes(), CAUSE);
        tracing::error!(
            topic = there.topic,
            partition = there.partition,
            offset = self.next,
            cause,
            attempts,
            "a partition cannot be read; it waits"
        );
        self.unreadable
            .get_or_insert_with(|| self.shared.metrics.cannot_read());
        self.noted = true;
        if let Err(error) = blocked::note(db, consumer, &there, attempts, &cause).await {
            tracing::debug!(error = cause_chain(&error), "not noted");
        }
        true
    }

    async fn note_position(&mut self) {
        let (db, consumer) = (&self.shared.db, self.shared.consumer());
        self.position.due = Instant::now() + NOTE_EVERY;
        let Some(next) = self.position.next.take() else {
            return;
        };
        // The next note says all that this one would have said.
        if let Err(error) = gaps::note_position(db, consumer, &self.partition.place, next).await {
            tracing::debug!(error = cause_chain(&error), "position not noted");
        }
    }

    fn finished(&mut self, next: i64) {
        (self.done)(next);
        self.position.next = Some(next);
    }

    /// `false` if the worker was stopped before all of the batch was done.
    async fn work_off(&mut self, batch: Vec<Message>) -> bool {
        let [.., last] = batch.as_slice() else {
            return true;
        };
        self.unreadable = None;
        let end = last.offset + 1;
        let all_done = self.apply_all(&Arc::new(batch), end).await;
        if Instant::now() >= self.position.due {
            self.note_position().await;
        }
        all_done
    }

    async fn apply_all(&mut self, batch: &Arc<Vec<Message>>, end: i64) -> bool {
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
            self.finished(end);
            return true;
        }
        // One by one, so that what fails fails alone.
        for message in batch.iter() {
            if self.stop.is_cancelled() || !self.deliver_until_done(message).await {
                return false;
            }
            self.finished(message.offset + 1);
        }
        true
    }

    async fn apply_together(&mut self, batch: &Arc<Vec<Message>>) -> bool {
        let Some(outcomes) = self.together.apply(batch).await else {
            return false;
        };
        self.count(batch, &outcomes);
        self.clear_note().await;
        true
    }

    /// Tries until the message is applied or parked; `false` if the worker was stopped before.
    async fn deliver_until_done(&mut self, message: &Message) -> bool {
        let mut attempts = 0;
        let mut blocked = None;
        let mut defect = Defect::default();
        let outcome = loop {
            let retry = match self.deliver(message).await {
                Ok(outcome) => break outcome,
                Err(retry) => retry,
            };
            attempts += 1;
            blocked.get_or_insert_with(|| self.shared.metrics.block());
            self.shared.metrics.retried(&message.event_type);
            log_retry(message, &retry, attempts);
            if defect.lasts(&retry, &self.shared.settings)
                && let Some(outcome) = self.park_for_its_defect(message, &retry).await
            {
                break outcome;
            }
            if let Some(outcome) = self.wait_noted(message, &retry, attempts).await {
                break outcome;
            }
            if !self.pause(attempts).await {
                return false;
            }
        };
        self.count(std::slice::from_ref(message), &[outcome]);
        self.clear_note().await;
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

    /// Notes that the partition waits, and parks the message if an operator wants it out of the
    /// way.
    async fn wait_noted(
        &mut self,
        message: &Message,
        retry: &Retry,
        attempts: i32,
    ) -> Option<Outcome> {
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

    /// A defect that lasts is of this event alone, by all that is known: its partition goes on.
    async fn park_for_its_defect(&self, message: &Message, retry: &Retry) -> Option<Outcome> {
        let (db, consumer) = (&self.shared.db, self.shared.consumer());
        let reason = format!("{}: {}", retry.code, retry.cause);
        // If the database is away, it is tried again as before.
        apply::put_aside(db, consumer, message, "bug", &reason)
            .await
            .ok()
    }

    /// The partition goes on: nobody must read any more that it waits.
    async fn clear_note(&mut self) {
        if !self.noted {
            return;
        }
        let place = &self.partition.place;
        match blocked::clear(&self.shared.db, self.shared.consumer(), place).await {
            Ok(()) => self.noted = false,
            Err(error) => tracing::warn!(
                error = cause_chain(&error),
                topic = place.0,
                partition = place.1,
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

/// Since when an event has met nothing but a defect.
#[derive(Default)]
struct Defect {
    since: Option<Instant>,
}

impl Defect {
    /// Whether it is time to put the event aside.
    fn lasts(&mut self, retry: &Retry, settings: &InboxSettings) -> bool {
        if retry.class != Class::Bug {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        since.elapsed() >= Duration::from_secs(settings.inbox_bug_seconds)
    }
}

/// Twice as long each time, up to a limit; half of it by chance, so that partitions do not retry in
/// step.
pub(crate) fn backoff(settings: &InboxSettings, attempts: i32) -> Duration {
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
    fn only_a_defect_that_nothing_interrupts_lasts() {
        let retry = |class| Retry {
            class,
            code: "code",
            cause: String::new(),
        };
        let lasting = |inbox_bug_seconds| InboxSettings {
            inbox_bug_seconds,
            ..InboxSettings::default()
        };
        let mut defect = Defect::default();
        assert!(!defect.lasts(&retry(Class::Unavailable), &lasting(0)));
        assert!(!defect.lasts(&retry(Class::Bug), &lasting(60)));
        assert!(defect.lasts(&retry(Class::Bug), &lasting(0)));
        assert!(!defect.lasts(&retry(Class::Unavailable), &lasting(0)));
        assert!(defect.since.is_none());
    }

    #[test]
    fn pauses_grow_to_their_limit() {
        let settings = InboxSettings::default();
        for (attempts, least, most) in [
            (1, 50, 100),
            (2, 100, 200),
            (4, 400, 800),
            (30, 5_000, 10_000),
        ] {
            let pause = backoff(&settings, attempts).as_millis();
            assert!(
                (least..=most).contains(&pause),
                "attempt {attempts}: {pause} ms"
            );
        }
    }
}
