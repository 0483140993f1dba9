use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use db::{Db, DbError, Tx};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{Bool, Integer, Text, Uuid},
};
use diesel_async::RunQueryDsl;
use kernel::{Class, Clock};
use rand::Rng;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    Failure, InboxSettings, Message, Metrics, Outcome, Subscriptions, apply::apply_together, parked,
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
    pub fn subscriptions_name(&self) -> &'static str {
        self.subscriptions.name()
    }
}

/// One partition's messages, one after the other.
pub(crate) struct Worker<S> {
    pub shared: Arc<Shared<S>>,
    pub messages: mpsc::UnboundedReceiver<Message>,
    pub queued: Arc<AtomicUsize>,
    pub stop: CancellationToken,
    /// Told after each batch: the offset from which the group would go on.
    pub done: Box<dyn Fn(i64) + Send + Sync>,
}

impl<S: Send + Sync + 'static> Worker<S> {
    /// Works until `stop`, and then finishes what it has begun, but begins nothing more.
    pub async fn run(mut self) {
        let most = usize::from(self.shared.settings.inbox_batch);
        let mut batch = Vec::with_capacity(most);
        loop {
            let stop = self.stop.clone();
            match stop
                .run_until_cancelled(self.messages.recv_many(&mut batch, most))
                .await
            {
                Some(received) if received > 0 => {}
                _ => return,
            }
            self.queued.fetch_sub(batch.len(), Ordering::Relaxed);
            let next = batch.last().map(|last| last.offset + 1);
            if !self.apply_batch(&batch).await {
                return;
            }
            if let Some(next) = next {
                (self.done)(next);
            }
            batch.clear();
        }
    }

    /// `false` if the worker was stopped before all of the batch was done.
    async fn apply_batch(&self, batch: &[Message]) -> bool {
        let all_readable = batch.iter().all(|message| message.unreadable.is_none());
        if batch.len() > 1 && all_readable && self.apply(batch).await.is_ok() {
            return true;
        }
        // One by one, so that what fails fails alone.
        for message in batch {
            if !self.apply_until_done(message).await {
                return false;
            }
        }
        true
    }

    async fn apply(&self, messages: &[Message]) -> Result<(), Failure> {
        let Shared {
            subscriptions,
            state,
            db,
            metrics,
            clock,
            room,
            ..
        } = &*self.shared;
        let nobody_listens = messages
            .iter()
            .all(|message| subscriptions.route(&message.event_type).is_none());
        if nobody_listens {
            return Ok(());
        }
        let _room = room.acquire().await.expect("the semaphore is never closed");
        let outcomes = apply_together(db, subscriptions, state, messages).await?;
        let now = clock.now();
        for (message, outcome) in messages.iter().zip(outcomes) {
            metrics.count(&message.event_type, outcome, message.time, now);
            if outcome == Outcome::Parked {
                tracing::warn!(event_id = %message.id, event_type = message.event_type, key = message.key, "event is parked behind another");
            }
        }
        Ok(())
    }

    /// Tries until the message is applied or parked; `false` if the worker was stopped before.
    async fn apply_until_done(&self, message: &Message) -> bool {
        if let Some(reason) = message.unreadable {
            return self.park_until_done(message, "unreadable_event", reason).await;
        }
        let mut attempts = 0;
        let done = loop {
            match self.apply(std::slice::from_ref(message)).await {
                Ok(()) => break true,
                Err(Failure::Park { code, reason }) => {
                    break self.park_until_done(message, code, &reason).await;
                }
                Err(Failure::Retry { class, code, cause }) => {
                    attempts += 1;
                    if attempts == 1 {
                        self.shared.metrics.blocked().inc();
                    }
                    self.shared.metrics.retried(&message.event_type);
                    log_retry(message, class, code, &cause, attempts);
                    if self.wants_parking(message, attempts, &cause).await {
                        break self.park_until_done(message, code, &cause).await;
                    }
                    if !self.pause(attempts).await {
                        break false;
                    }
                }
            }
        };
        if attempts > 0 {
            self.shared.metrics.blocked().dec();
            if done {
                self.unblock(message).await;
            }
        }
        done
    }

    async fn park_until_done(&self, message: &Message, code: &str, reason: &str) -> bool {
        let consumer = self.shared.subscriptions.name();
        tracing::error!(event_id = %message.id, event_type = message.event_type, key = message.key, code, reason, "event is parked");
        let mut attempts = 0;
        loop {
            let parked = self
                .shared
                .db
                .transaction("inbox.park", async |tx| {
                    parked::park(tx, consumer, message, code, reason).await
                })
                .await;
            let Err(error) = parked else {
                let now = self.shared.clock.now();
                self.shared
                    .metrics
                    .count(&message.event_type, Outcome::Parked, message.time, now);
                return true;
            };
            attempts += 1;
            tracing::warn!(event_id = %message.id, error = kernel::cause_chain(&error), "event cannot be parked yet");
            if !self.pause(attempts).await {
                return false;
            }
        }
    }

    /// Notes that the partition waits, and looks whether an operator wants the message out of the way.
    async fn wants_parking(&self, message: &Message, attempts: i32, cause: &str) -> bool {
        let consumer = self.shared.subscriptions.name();
        let noted = self
            .shared
            .db
            .transaction("inbox.blocked", async |tx| {
                note_blocked(tx, consumer, message, attempts, cause).await
            })
            .await;
        // If the database is away, this is all the more a reason to wait.
        noted.unwrap_or(false)
    }

    async fn unblock(&self, message: &Message) {
        let consumer = self.shared.subscriptions.name();
        let cleared = self
            .shared
            .db
            .transaction("inbox.unblocked", async |tx| -> Result<(), DbError> {
                sql_query("DELETE FROM inbox_blocked WHERE consumer = $1 AND topic = $2 AND partition = $3")
                    .bind::<Text, _>(consumer)
                    .bind::<Text, _>(&message.topic)
                    .bind::<Integer, _>(message.partition)
                    .execute(&mut **tx)
                    .await?;
                Ok(())
            })
            .await;
        if let Err(error) = cleared {
            tracing::warn!(
                error = kernel::cause_chain(&error),
                "the note of a blocked partition stays until its next retry"
            );
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

fn log_retry(message: &Message, class: Class, code: &str, cause: &str, attempts: i32) {
    let (event_id, event_type, key) = (message.id, &message.event_type, &message.key);
    match class {
        Class::Bug => {
            tracing::error!(%event_id, event_type, key, code, cause, attempts, "event failed; its partition waits")
        }
        _ => tracing::warn!(%event_id, event_type, key, code, cause, attempts, "event cannot be applied yet"),
    }
}

#[derive(QueryableByName)]
struct Requested {
    #[diesel(sql_type = Bool)]
    requested: bool,
}

async fn note_blocked(
    tx: &mut Tx<'_>,
    consumer: &str,
    message: &Message,
    attempts: i32,
    cause: &str,
) -> Result<bool, DbError> {
    sql_query(
        "INSERT INTO inbox_blocked (consumer, topic, partition, event_id, type, key, attempts, error)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (consumer, topic, partition) DO UPDATE SET event_id = excluded.event_id, type = excluded.type,
           key = excluded.key, attempts = excluded.attempts, error = excluded.error,
           since = CASE WHEN inbox_blocked.event_id = excluded.event_id THEN inbox_blocked.since ELSE now() END",
    )
    .bind::<Text, _>(consumer)
    .bind::<Text, _>(&message.topic)
    .bind::<Integer, _>(message.partition)
    .bind::<Uuid, _>(message.id)
    .bind::<Text, _>(&message.event_type)
    .bind::<Text, _>(&message.key)
    .bind::<Integer, _>(attempts)
    .bind::<Text, _>(cause)
    .execute(&mut **tx)
    .await?;
    let requested: Requested = sql_query(
        "SELECT EXISTS (SELECT FROM inbox_park_requests WHERE consumer = $1 AND event_id = $2) AS requested",
    )
    .bind::<Text, _>(consumer)
    .bind::<Uuid, _>(message.id)
    .get_result(&mut **tx)
    .await?;
    Ok(requested.requested)
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
