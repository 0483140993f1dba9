mod parked;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use outbox::{
    log::{Cursor, Difference, OutboxEvent, PageSize, Session},
    parked::TopicKey,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    RelaySettings,
    error::RelayError,
    metrics::RelayMetrics,
    producer::{Producer, shared::ProducerError},
    progress::Progress,
};

/// How events are sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SendMode {
    /// Many in flight.
    Pipelined,
    /// One in flight, up to the event at this position: to find out which one Kafka refuses.
    OneByOne { until: i64 },
}

/// Between two polls of the log while there is work: it bounds what a poll adds to the time until
/// an event is sent.
const POLL_INTERVAL: Duration = Duration::from_millis(1);
/// After a poll the reader waits until Kafka has acknowledged what the poll sent. It waits at most
/// this many times as long as the poll took, and at most `ACK_WAIT_MAX`. Events that are committed
/// meanwhile are read together: the busier the store, the fewer polls and requests.
const ACK_WAIT_FACTOR: u32 = 4;
const ACK_WAIT_MAX: Duration = Duration::from_millis(10);
/// Between checks whether Kafka has acknowledged something, while the reader waits for that alone.
const ACK_POLL_INTERVAL: Duration = Duration::from_millis(2);
/// Between saves of the cursor while events flow. What is not saved is sent again after a crash.
const SAVE_INTERVAL: Duration = Duration::from_millis(60);
/// The next save waits this many times as long as the last one took, so that saving takes at most a
/// fiftieth of the time. Each save goes through all versions of the cursor's row that an old
/// snapshot keeps, and adds one.
const SAVE_DELAY_FACTOR: u32 = 50;
/// The longest time between saves, however long one takes.
const SAVE_INTERVAL_MAX: Duration = Duration::from_secs(2);
/// Between saves of a snapshot that moved without events. Without them old buckets would never be
/// proven empty.
const IDLE_SAVE_INTERVAL: Duration = Duration::from_secs(60);
/// Between pings of the database while the reader waits for Kafka. PostgreSQL ends the session when
/// it is idle for 15 s.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// Between two polls while the relay sleeps and no publisher wakes it: a notification that was lost
/// delays an event by at most this.
const SLEEP_POLL_INTERVAL: Duration = Duration::from_millis(500);
/// The relay stops sleeping after this many polls in a row that each found events within
/// `RELAY_QUIET_MS`. From then on polling costs less than a notification for each event.
const BUSY_POLLS_BEFORE_WAKE: u32 = 8;

/// Reads the log, enqueues its events for the producer, and keeps the cursor.
pub struct Reader<'s> {
    session: Session,
    producer: Producer,
    settings: &'s RelaySettings,
    metrics: &'s RelayMetrics,
    progress: Progress,
    page_size: PageSize,
    /// For each page that is in flight: how many events were sent before it, and when its first
    /// event was recorded, in microseconds since 1970.
    recorded_at: VecDeque<(u64, i64)>,
    saved_at: Instant,
    /// How long after the last save the next one is due.
    save_delay: Duration,
    /// The keys that have parked events, and whether an operator wants them replayed.
    parked: HashMap<TopicKey, bool>,
    parked_read_at: Instant,
    /// The highest position of a discarded event.
    last_discarded: Option<i64>,
    pinged_at: Instant,
    send_mode: SendMode,
}

impl<'s> Reader<'s> {
    pub async fn new(
        session: Session,
        producer: Producer,
        settings: &'s RelaySettings,
        metrics: &'s RelayMetrics,
        cursor: Cursor,
        send_mode: SendMode,
    ) -> Result<Self, RelayError> {
        let now = Instant::now();
        let mut reader = Self {
            session,
            producer,
            settings,
            metrics,
            progress: Progress::new(cursor),
            page_size: settings.page_size(),
            recorded_at: VecDeque::new(),
            saved_at: now,
            save_delay: SAVE_INTERVAL,
            parked: HashMap::new(),
            parked_read_at: now,
            last_discarded: None,
            pinged_at: now,
            send_mode,
        };
        reader.load_parked().await?;
        Ok(reader)
    }

    /// Relays until it is told to stop; then drains.
    pub async fn run(mut self, stop: &CancellationToken) -> Result<(), RelayError> {
        let mut idle_since = Instant::now();
        loop {
            let began = Instant::now();
            let found = self.poll_once().await?;
            let took = began.elapsed();
            if stop.is_cancelled() {
                return self.drain().await;
            }
            if found {
                idle_since = Instant::now();
            }
            // A backlog is read without a pause. Otherwise the reader waits a moment, because
            // events that come meanwhile are cheaper to send together.
            if self.is_inside_a_difference() {
                continue;
            }
            if idle_since.elapsed() >= self.idle_before_sleep() {
                self.sleep(stop).await?;
                idle_since = Instant::now();
            } else {
                tokio::time::sleep(POLL_INTERVAL).await;
                let timeout = (took * ACK_WAIT_FACTOR).min(ACK_WAIT_MAX);
                self.producer
                    .wait_for_acks(self.progress.sent(), timeout)
                    .await;
            }
        }
    }

    /// The time without events after which the relay sleeps.
    fn idle_before_sleep(&self) -> Duration {
        Duration::from_millis(self.settings.quiet_ms)
    }

    /// Polls the log once, and sends what it finds; whether it found events, or there may be more.
    async fn poll_once(&mut self) -> Result<bool, RelayError> {
        self.apply_acks().await?;
        self.process_parked().await?;
        let is_inside = self.is_inside_a_difference();
        let events = self.read_page().await?;
        if events.is_empty() {
            return Ok(is_inside);
        }
        self.metrics.batches.inc();
        self.send(events).await?;
        Ok(true)
    }

    /// Sends everything that was committed before the relay was told to stop, waits for its
    /// acknowledgement and saves the cursor. Events that are published meanwhile are left for the
    /// next start, because publishers may be faster than the relay.
    async fn drain(mut self) -> Result<(), RelayError> {
        self.read_to_target().await?;
        self.poll_once().await?;
        self.read_to_target().await?;
        self.wait_for_acks().await?;
        self.apply_acks().await?;
        self.save_cursor().await
    }

    async fn read_to_target(&mut self) -> Result<(), RelayError> {
        while self.is_inside_a_difference() {
            self.poll_once().await?;
        }
        Ok(())
    }

    /// Whether a difference that is larger than a page is being read.
    fn is_inside_a_difference(&self) -> bool {
        self.progress.read().target.is_some()
    }

    /// Reads the next page: all new events, or the next part of a large difference. The page behind
    /// the last part is empty.
    async fn read_page(&mut self) -> Result<Vec<OutboxEvent>, RelayError> {
        let acknowledged = self.progress.read().acknowledged.clone();
        if !self.is_inside_a_difference() {
            let difference = self
                .session
                .read_difference(&acknowledged, &mut self.page_size);
            match difference.await? {
                Difference::Whole { now, events } => {
                    self.progress.read_mut().advance_to(now);
                    return Ok(self.mark_if_empty(events));
                }
                Difference::Large { now, before } => {
                    self.progress.read_mut().start_target(now, before);
                }
            }
        }
        let Some((target, after)) = self.progress.read().target.clone() else {
            return Ok(Vec::new());
        };
        let events = self
            .session
            .read_page(&acknowledged, &target, after, &mut self.page_size)
            .await?;
        self.progress
            .read_mut()
            .finish_page(events.last().map(OutboxEvent::position));
        Ok(self.mark_if_empty(events))
    }

    /// Moves the cursor also when a poll found nothing. It becomes true behind all that is in
    /// flight.
    fn mark_if_empty(&mut self, events: Vec<OutboxEvent>) -> Vec<OutboxEvent> {
        if events.is_empty() {
            self.progress.mark_read_up_to(false);
            // With nothing in flight the cursor is true at once.
            self.progress.set_acknowledged(self.producer.prefix());
        }
        events
    }

    /// Sends the events of a page, except those that are parked or discarded.
    async fn send(&mut self, events: Vec<OutboxEvent>) -> Result<(), RelayError> {
        let (Some(first), Some(last)) = (events.first(), events.last()) else {
            return Ok(());
        };
        let positions = first.position()..=last.position();
        let mut discarded = self.discarded_among(positions.clone()).await?;
        let mut page = Vec::with_capacity(events.len());
        for event in events {
            let position = event.position();
            if self.is_parked(&event) {
                if self.session.park_behind(&event).await? {
                    self.finish_event(position);
                    continue;
                }
                // The key's events do not wait any more: an operator may have discarded them, and
                // this event as well.
                self.load_parked().await?;
                discarded = self.discarded_among(positions.clone()).await?;
            }
            if discarded.contains(&position) {
                self.finish_event(position);
                continue;
            }
            match self.send_mode {
                SendMode::Pipelined => page.push(event),
                SendMode::OneByOne { .. } => {
                    self.send_alone(event).await?;
                    self.finish_event(position);
                }
            }
        }
        if let Some(first) = page.first() {
            self.recorded_at
                .push_back((self.progress.sent(), first.recorded_at().timestamp_micros()));
            self.enqueue(Arc::new(page)).await?;
        }
        self.progress.mark_read_up_to(true);
        Ok(())
    }

    /// Sends pipelined again behind the last event that is to be sent alone.
    fn finish_event(&mut self, position: i64) {
        if self.send_mode == (SendMode::OneByOne { until: position }) {
            self.send_mode = SendMode::Pipelined;
        }
    }

    /// Gives a page to the producer, and waits while its queue is full.
    async fn enqueue(&mut self, page: Arc<Vec<OutboxEvent>>) -> Result<(), RelayError> {
        self.progress.add_sent(page.len() as u64);
        while !self.producer.try_enqueue(&page)? {
            self.wait_for_kafka().await?;
        }
        Ok(())
    }

    /// Waits until nothing is in flight.
    async fn wait_for_acks(&mut self) -> Result<(), RelayError> {
        while self.producer.prefix() < self.progress.sent() {
            self.wait_for_kafka().await?;
        }
        Ok(())
    }

    /// Waits for Kafka for a moment. It keeps the session alive, and returns the producer's error
    /// if there is one.
    async fn wait_for_kafka(&mut self) -> Result<(), RelayError> {
        self.apply_acks().await?;
        tokio::time::sleep(ACK_POLL_INTERVAL).await;
        if self.pinged_at.elapsed() > PING_INTERVAL {
            self.session.ping().await?;
            self.pinged_at = Instant::now();
        }
        Ok(())
    }

    /// Sends one event with nothing else in flight, and parks it if Kafka refuses it: now it is
    /// certain that Kafka refuses this very event.
    async fn send_alone(&mut self, event: OutboxEvent) -> Result<(), RelayError> {
        if self
            .session
            .is_parked_or_discarded(event.position())
            .await?
        {
            return Ok(());
        }
        self.wait_for_acks().await?;
        let alone = Arc::new(vec![event]);
        match self.send_and_wait(alone.clone()).await {
            Err(RelayError::Producer(ProducerError::Refused(refused))) => {
                let event = &alone[0];
                self.session.park(event, &refused.reason).await?;
                tracing::error!(
                    event_id = %event.id(),
                    event_type = event.event_type(),
                    key = event.key(),
                    reason = refused.reason,
                    "event is parked"
                );
                Err(ProducerError::Refused(refused).into())
            }
            outcome => outcome,
        }
    }

    /// Sends one event and waits until Kafka acknowledges or refuses it.
    async fn send_and_wait(&mut self, alone: Arc<Vec<OutboxEvent>>) -> Result<(), RelayError> {
        self.enqueue(alone).await?;
        self.wait_for_acks().await
    }

    /// Applies what Kafka has acknowledged: moves and saves the cursor and sets the metrics.
    /// Returns the producer's error if there is one.
    async fn apply_acks(&mut self) -> Result<(), RelayError> {
        let prefix = self.producer.prefix();
        self.progress.set_acknowledged(prefix);
        while self
            .recorded_at
            .get(1)
            .is_some_and(|(from, _)| *from <= prefix)
        {
            self.recorded_at.pop_front();
        }
        if prefix == self.progress.sent() {
            self.recorded_at.clear();
        }
        self.metrics.oldest.set(
            self.recorded_at
                .front()
                .map_or(0, |(_, recorded_at)| *recorded_at),
        );
        self.metrics
            .waiting
            .set(i64::try_from(self.progress.sent() - prefix).unwrap_or(i64::MAX));
        if let Some(error) = self.producer.error() {
            // Acknowledged events need not be sent again.
            self.save_cursor().await?;
            return Err(error.into());
        }
        let since = self.saved_at.elapsed();
        if (since >= self.save_delay && self.progress.to_save().is_some())
            || since >= IDLE_SAVE_INTERVAL
        {
            self.save_cursor().await?;
        }
        Ok(())
    }

    /// Saves the acknowledged cursor, if it is not saved yet.
    async fn save_cursor(&mut self) -> Result<(), RelayError> {
        self.saved_at = Instant::now();
        if let Some(cursor) = self.progress.unsaved().cloned() {
            self.session.save_cursor(&cursor).await?;
            self.progress.set_saved(cursor);
            let took = self.saved_at.elapsed();
            self.save_delay = (took * SAVE_DELAY_FACTOR).clamp(SAVE_INTERVAL, SAVE_INTERVAL_MAX);
        }
        Ok(())
    }

    /// Sleeps between polls until events come close together. Publishers wake it by a notification;
    /// without one it polls every `SLEEP_POLL_INTERVAL`.
    async fn sleep(&mut self, stop: &CancellationToken) -> Result<(), RelayError> {
        if !self.session.try_sleep().await? {
            return Ok(());
        }
        let mut busy_polls = 0;
        let mut waited = Duration::MAX;
        loop {
            // The first poll finds what was committed before publishers knew that the relay sleeps.
            if self.poll_once().await? {
                busy_polls = if waited < self.idle_before_sleep() {
                    busy_polls + 1
                } else {
                    0
                };
            }
            if busy_polls >= BUSY_POLLS_BEFORE_WAKE
                || stop.is_cancelled()
                || self.is_inside_a_difference()
            {
                return Ok(self.session.wake().await?);
            }
            let all_is_saved = self.progress.is_settled() && self.progress.to_save().is_none();
            let timeout = if all_is_saved {
                SLEEP_POLL_INTERVAL
            } else {
                SAVE_INTERVAL
            };
            let began = Instant::now();
            tokio::select! {
                () = self.session.notified(timeout) => {}
                () = stop.cancelled() => {}
            }
            waited = began.elapsed();
        }
    }
}
