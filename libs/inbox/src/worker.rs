use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use kernel::{Class, cause_chain, shown};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    InboxSettings, Message, Outcome, Retry, apply, batcher::BatchClient, blocked, gaps,
    metrics::UnreadableGuard, offsets::PartitionOffsets, partitions::WorkItem, shared::Shared,
    topic_partition::TopicPartition,
};

/// How often a worker saves in the database up to where it has read. It is needed only when Kafka
/// has forgotten the group's offsets, so a minute is exact enough.
const POSITION_SAVE_INTERVAL: Duration = Duration::from_secs(60);
/// Bounds the description of why a partition cannot be read.
const CAUSE_CHARS_MAX: usize = 1000;

/// Applies the messages of one partition, in their order.
///
/// Its methods that return `bool` return `false` if the worker was stopped before they were done.
pub(crate) struct Worker<S> {
    pub shared: Arc<Shared<S>>,
    pub batches: BatchClient,
    pub items: mpsc::UnboundedReceiver<WorkItem>,
    /// Bytes of memory of the messages in `items`.
    pub queued_bytes: Arc<AtomicUsize>,
    pub stop: CancellationToken,
    /// Called with the offset from which the group goes on, whenever that is a later one.
    pub on_done: Box<dyn Fn(i64) + Send + Sync>,
    pub offsets: PartitionOffsets,
    /// Whether the database may say that this partition is blocked. A worker begins with `true`:
    /// the previous owner of the partition may have recorded it.
    pub may_be_recorded_as_blocked: bool,
    /// Counts the partition as unreadable while it is so.
    pub unreadable: Option<UnreadableGuard>,
    /// The offset that comes next, if it is known.
    pub next: Option<i64>,
    pub position: UnsavedPosition,
}

/// Up to where a worker has read, as far as the database does not know it yet.
pub(crate) struct UnsavedPosition {
    /// The offset before which everything is done; `None` if the database knows it.
    next: Option<i64>,
    /// When it is to be saved.
    due: Instant,
}

impl Default for UnsavedPosition {
    fn default() -> Self {
        Self {
            next: None,
            due: Instant::now() + POSITION_SAVE_INTERVAL,
        }
    }
}

impl<S: Send + Sync + 'static> Worker<S> {
    /// Works until `stop`. Then it finishes what it has begun, and begins nothing more.
    pub async fn run(mut self) {
        if !self.find_start().await {
            return;
        }
        while let Some(items) = self.receive().await {
            let mut batch = Vec::new();
            for item in items {
                let goes_on = match item {
                    WorkItem::Message(message) => {
                        let goes_on = match self.skipped_from(&message) {
                            Some(next) => {
                                self.process(std::mem::take(&mut batch)).await
                                    && self.check_for_gap(next).await.is_some()
                            }
                            None => true,
                        };
                        batch.push(message);
                        goes_on
                    }
                    WorkItem::Unreadable { attempts, cause } => {
                        let goes_on = self.process(std::mem::take(&mut batch)).await;
                        if goes_on {
                            self.record_unreadable(attempts, &cause).await;
                        }
                        goes_on
                    }
                    WorkItem::Readable => {
                        self.unreadable = None;
                        self.clear_blocked().await;
                        true
                    }
                };
                if !goes_on {
                    return;
                }
            }
            if !self.process(batch).await {
                return;
            }
        }
    }

    /// Waits for items and saves the position meanwhile. `None` if the worker was stopped, or the
    /// dispatcher has ended.
    async fn receive(&mut self) -> Option<Vec<WorkItem>> {
        let batch_max = usize::from(self.shared.settings.inbox_batch);
        let stop = self.stop.clone();
        let mut items = Vec::new();
        loop {
            let received = self.items.recv_many(&mut items, batch_max);
            let received = stop.run_until_cancelled(async {
                match self.position.next {
                    Some(_) => tokio::time::timeout_at(self.position.due, received)
                        .await
                        .ok(),
                    None => Some(received.await),
                }
            });
            match received.await? {
                // The channel is closed.
                Some(0) => return None,
                Some(_) => break,
                None => self.save_position().await,
            }
        }
        let bytes = items.iter().map(WorkItem::memory_bytes).sum();
        self.queued_bytes.fetch_sub(bytes, Ordering::SeqCst);
        Some(items)
    }

    /// Finds out where the group goes on in this partition, and whether Kafka has deleted what
    /// comes there.
    async fn find_start(&mut self) -> bool {
        let mut attempts = 0;
        loop {
            match self.start_offset().await {
                Ok(None) => return true,
                Ok(Some(next)) => {
                    self.next = self.check_for_gap(next).await;
                    return self.next.is_some();
                }
                Err(cause) => {
                    let TopicPartition { topic, partition } = &self.offsets.topic_partition;
                    tracing::warn!(
                        topic,
                        partition,
                        cause,
                        "the worker cannot find out yet where its partition goes on; it waits"
                    );
                }
            }
            attempts += 1;
            if !self.wait_for_retry(attempts).await {
                return false;
            }
        }
    }

    /// The offset from which the group goes on; `None` if nothing of the partition was read before.
    ///
    /// The committed offset is exact. Kafka forgets it when the group has had no member for long;
    /// then the saved position counts, which may be a minute older.
    async fn start_offset(&self) -> Result<Option<i64>, String> {
        let (db, consumer) = (&self.shared.db, self.shared.consumer());
        match self.offsets.committed().await {
            Ok(Some(next)) => Ok(Some(next)),
            Ok(None) => gaps::read_position(db, consumer, &self.offsets.topic_partition)
                .await
                .map_err(|error| cause_chain(&error)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The offset that was to come next, if this message has a later one.
    fn skipped_from(&mut self, message: &Message) -> Option<i64> {
        let expected = self.next.replace(message.offset + 1);
        expected.filter(|next| message.offset > *next)
    }

    /// Finds out whether Kafka has deleted messages from `next` on, and records the gap. Returns
    /// the offset that comes next now; `None` if the worker was stopped before it was known.
    async fn check_for_gap(&self, next: i64) -> Option<i64> {
        let mut attempts = 0;
        loop {
            match self.record_gap(next).await {
                Ok(earliest) => return Some(next.max(earliest)),
                Err(cause) => {
                    tracing::debug!(cause, "not known yet whether Kafka has deleted anything");
                }
            }
            attempts += 1;
            if !self.wait_for_retry(attempts).await {
                return None;
            }
        }
    }

    /// Records a gap if the first offset that Kafka has is behind `next`; returns that offset. If
    /// it is not behind, nothing was lost: some offsets have no message, such as those of the ends
    /// of transactions.
    async fn record_gap(&self, next: i64) -> Result<i64, String> {
        let topic_partition = &self.offsets.topic_partition;
        let earliest = self
            .offsets
            .earliest()
            .await
            .map_err(|error| error.to_string())?;
        if earliest > next {
            let (db, consumer) = (&self.shared.db, self.shared.consumer());
            gaps::record(db, consumer, topic_partition, next, earliest)
                .await
                .map_err(|error| cause_chain(&error))?;
            tracing::error!(
                topic = topic_partition.topic,
                partition = topic_partition.partition,
                first = next,
                next = earliest,
                "Kafka deleted messages before they were read"
            );
        }
        Ok(earliest)
    }

    /// Records that the partition is blocked, as it does for an event.
    async fn record_unreadable(&mut self, attempts: i32, cause: &str) {
        let (db, consumer) = (&self.shared.db, self.shared.consumer());
        let next = self.next.unwrap_or_default();
        let message = Message::unreadable_at(&self.offsets.topic_partition, next);
        let cause = shown(cause.as_bytes(), CAUSE_CHARS_MAX);
        tracing::error!(
            topic = message.topic,
            partition = message.partition,
            offset = self.next,
            cause,
            attempts,
            "a partition cannot be read; it waits"
        );
        self.unreadable
            .get_or_insert_with(|| self.shared.metrics.count_as_unreadable());
        self.may_be_recorded_as_blocked = true;
        if let Err(error) = blocked::record(db, consumer, &message, attempts, &cause).await {
            tracing::debug!(
                error = cause_chain(&error),
                "blocked partition not recorded"
            );
        }
    }

    async fn save_position(&mut self) {
        let (db, consumer) = (&self.shared.db, self.shared.consumer());
        self.position.due = Instant::now() + POSITION_SAVE_INTERVAL;
        let Some(next) = self.position.next.take() else {
            return;
        };
        let saved = gaps::save_position(db, consumer, &self.offsets.topic_partition, next).await;
        // If it fails, the next position that is saved replaces this one.
        if let Err(error) = saved {
            tracing::debug!(error = cause_chain(&error), "position not saved");
        }
    }

    /// Notes that everything before `next` is done.
    fn done_before(&mut self, next: i64) {
        (self.on_done)(next);
        self.position.next = Some(next);
    }

    /// Applies a batch, and saves the position if that is due.
    async fn process(&mut self, batch: Vec<Message>) -> bool {
        let [.., last] = batch.as_slice() else {
            return true;
        };
        self.unreadable = None;
        let end = last.offset + 1;
        let all_done = self.apply_all(&Arc::new(batch), end).await;
        if Instant::now() >= self.position.due {
            self.save_position().await;
        }
        all_done
    }

    async fn apply_all(&mut self, batch: &Arc<Vec<Message>>, end: i64) -> bool {
        let is_applied = if batch
            .iter()
            .any(|message| self.shared.subscriptions.is_relevant(message))
        {
            self.apply_batch(batch).await
        } else {
            self.count(batch, &vec![Outcome::Ignored; batch.len()]);
            true
        };
        if is_applied {
            self.done_before(end);
            return true;
        }
        // One by one, so that an event that fails rolls back no other.
        for message in batch.iter() {
            if self.stop.is_cancelled() || !self.deliver_until_done(message).await {
                return false;
            }
            self.done_before(message.offset + 1);
        }
        true
    }

    /// Has the batcher apply the messages; `false` if nothing has happened.
    async fn apply_batch(&mut self, batch: &Arc<Vec<Message>>) -> bool {
        let Some(outcomes) = self.batches.apply(batch).await else {
            return false;
        };
        self.count(batch, &outcomes);
        self.clear_blocked().await;
        true
    }

    /// Delivers a message until it is applied or parked.
    async fn deliver_until_done(&mut self, message: &Message) -> bool {
        let mut attempts = 0;
        let mut blocked = None;
        let mut defect = DefectTimer::default();
        let outcome = loop {
            let retry = match self.deliver(message).await {
                Ok(outcome) => break outcome,
                Err(retry) => retry,
            };
            attempts += 1;
            blocked.get_or_insert_with(|| self.shared.metrics.count_as_blocked());
            self.shared.metrics.count_retry(&message.event_type);
            log_retry(message, &retry, attempts);
            if defect.is_due(&retry, &self.shared.settings)
                && let Some(outcome) = self.park_defective(message, &retry).await
            {
                break outcome;
            }
            if let Some(outcome) = self.record_blocked(message, &retry, attempts).await {
                break outcome;
            }
            if !self.wait_for_retry(attempts).await {
                return false;
            }
        };
        self.count(std::slice::from_ref(message), &[outcome]);
        self.clear_blocked().await;
        true
    }

    async fn deliver(&self, message: &Message) -> Result<Outcome, Retry> {
        let _permit = self.shared.permit().await;
        let Shared {
            subscriptions,
            state,
            db,
            ..
        } = &*self.shared;
        apply::deliver(db, subscriptions, state, message).await
    }

    /// Records that the message blocks the partition. Parks the message if an operator has
    /// requested it; `None` if it stays.
    async fn record_blocked(
        &mut self,
        message: &Message,
        retry: &Retry,
        attempts: i32,
    ) -> Option<Outcome> {
        let (db, consumer) = (&self.shared.db, self.shared.consumer());
        self.may_be_recorded_as_blocked = true;
        // If the database is away, the message waits without a record.
        match blocked::record(db, consumer, message, attempts, &retry.cause).await {
            Ok(true) => apply::park(db, consumer, message, retry.code, &retry.cause)
                .await
                .ok(),
            _ => None,
        }
    }

    /// Parks a message whose handler has had a defect for long: probably only this message meets
    /// it, and the partition goes on without it. `None` if the message stays.
    async fn park_defective(&self, message: &Message, retry: &Retry) -> Option<Outcome> {
        let (db, consumer) = (&self.shared.db, self.shared.consumer());
        let reason = format!("{}: {}", retry.code, retry.cause);
        // If the database is away, the next attempt parks it.
        apply::park(db, consumer, message, "bug", &reason)
            .await
            .ok()
    }

    /// Removes the record that the partition is blocked.
    async fn clear_blocked(&mut self) {
        if !self.may_be_recorded_as_blocked {
            return;
        }
        let topic_partition = &self.offsets.topic_partition;
        match blocked::clear(&self.shared.db, self.shared.consumer(), topic_partition).await {
            Ok(()) => self.may_be_recorded_as_blocked = false,
            Err(error) => tracing::warn!(
                error = cause_chain(&error),
                topic = topic_partition.topic,
                partition = topic_partition.partition,
                "the record of a blocked partition stays until its next event"
            ),
        }
    }

    fn count(&self, messages: &[Message], outcomes: &[Outcome]) {
        let now = self.shared.clock.now();
        for (message, outcome) in messages.iter().zip(outcomes) {
            self.shared
                .metrics
                .count_event(&message.event_type, *outcome, message.time, now);
        }
    }

    /// Waits before the next attempt.
    async fn wait_for_retry(&self, attempts: i32) -> bool {
        let delay = self.shared.settings.retry_delay(attempts);
        self.stop
            .run_until_cancelled(tokio::time::sleep(delay))
            .await
            .is_some()
    }
}

/// Measures for how long an event has met nothing but a defect of its handler.
#[derive(Default)]
struct DefectTimer {
    since: Option<Instant>,
}

impl DefectTimer {
    /// Whether the event is to be parked after this failure. Any failure of another class starts
    /// the time anew.
    fn is_due(&mut self, retry: &Retry, settings: &InboxSettings) -> bool {
        if retry.class != Class::Bug {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        since.elapsed() >= Duration::from_secs(settings.inbox_bug_seconds)
    }
}

fn log_retry(message: &Message, retry: &Retry, attempts: i32) {
    let (event_id, event_type, key) = (message.id, &message.event_type, message.key.name());
    let Retry { class, code, cause } = retry;
    if *class == Class::Bug {
        tracing::error!(
            %event_id, event_type, key, code, cause, attempts,
            "event failed; its partition waits"
        );
    } else {
        tracing::warn!(
            %event_id, event_type, key, code, cause, attempts,
            "event cannot be applied yet"
        );
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
        let mut defect = DefectTimer::default();
        assert!(!defect.is_due(&retry(Class::Unavailable), &lasting(0)));
        assert!(!defect.is_due(&retry(Class::Bug), &lasting(60)));
        assert!(defect.is_due(&retry(Class::Bug), &lasting(0)));
        assert!(!defect.is_due(&retry(Class::Unavailable), &lasting(0)));
        assert!(defect.since.is_none());
    }
}
