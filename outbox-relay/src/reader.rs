mod parked;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use outbox::{
    log::{Cursor, Difference, Portion, Record, Session},
    parked::TopicKey,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    RelaySettings,
    metrics::RelayMetrics,
    producer::{Producer, Trouble},
    progress::Progress,
    relay::RelayError,
};

/// How events are sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// Many in flight.
    Pipelined,
    /// One in flight, up to the event at this position: to find out which one Kafka refuses.
    OneByOne { until: i64 },
}

/// Between looks while there is work.
const TICK: Duration = Duration::from_millis(1);
/// The next look waits for the acknowledgement of what the last one sent, but no more times as long
/// as that one took, and no longer than the longest rest. What comes meanwhile is taken together:
/// the busier all are, the fewer looks and requests there are.
const REST_OF_LOOK: u32 = 4;
const LONGEST_REST: Duration = Duration::from_millis(10);
/// Between looks whether Kafka has taken something.
const WAIT: Duration = Duration::from_millis(2);
const SAVE_EVERY: Duration = Duration::from_millis(60);
/// The next save waits so many times as long as the last one took: it goes through all versions of
/// the cursor that an old snapshot keeps, and makes one more.
const REST_OF_SAVE: u32 = 50;
const LONGEST_SAVE_PAUSE: Duration = Duration::from_secs(2);
/// A snapshot that moved without events is saved now and then, or old buckets would never be proven
/// empty.
const SAVE_IDLE_EVERY: Duration = Duration::from_secs(60);
/// The session would be ended if it were idle for long.
const PING_EVERY: Duration = Duration::from_secs(2);
const SAFETY_NET: Duration = Duration::from_millis(500);
/// After so many looks that each found something and were hardly waited for, it is cheaper to look
/// than to be woken for each.
const BUSY: u32 = 8;

/// Reads the log and keeps the cursor.
pub struct Reader<'s> {
    session: Session,
    producer: Producer,
    settings: &'s RelaySettings,
    metrics: &'s RelayMetrics,
    progress: Progress,
    portion: Portion,
    /// When the first event of each stretch that is in flight was recorded.
    recorded: VecDeque<(u64, i64)>,
    saved_at: Instant,
    /// Until it is saved again.
    save_pause: Duration,
    parked: HashMap<TopicKey, bool>,
    /// Up to which position events were discarded.
    last_discarded: Option<i64>,
    parked_at: Instant,
    pinged: Instant,
    style: Style,
}

impl<'s> Reader<'s> {
    pub async fn new(
        session: Session,
        producer: Producer,
        settings: &'s RelaySettings,
        metrics: &'s RelayMetrics,
        cursor: Cursor,
        style: Style,
    ) -> Result<Self, RelayError> {
        let now = Instant::now();
        let mut reader = Self {
            session,
            producer,
            settings,
            metrics,
            progress: Progress::new(cursor),
            portion: settings.portion(),
            recorded: VecDeque::new(),
            saved_at: now,
            save_pause: SAVE_EVERY,
            parked: HashMap::new(),
            last_discarded: None,
            parked_at: now,
            pinged: now,
            style,
        };
        reader.load_parked().await?;
        Ok(reader)
    }

    /// Relays until stopped; then drains.
    pub async fn run(mut self, stop: &CancellationToken) -> Result<(), RelayError> {
        let mut quiet_since = Instant::now();
        loop {
            let began = Instant::now();
            let found = self.step().await?;
            let took = began.elapsed();
            if stop.is_cancelled() {
                return self.drain().await;
            }
            if found {
                quiet_since = Instant::now();
            }
            // What comes a moment later is cheaper to take together; a backlog need not be waited
            // for.
            if self.is_inside_a_difference() {
                continue;
            }
            if quiet_since.elapsed() >= self.quiet() {
                self.sleep(stop).await?;
                quiet_since = Instant::now();
            } else {
                tokio::time::sleep(TICK).await;
                let rest = (took * REST_OF_LOOK).min(LONGEST_REST);
                self.producer.acknowledged(self.progress.sent(), rest).await;
            }
        }
    }

    /// After so long without events they are rare.
    fn quiet(&self) -> Duration {
        Duration::from_millis(self.settings.quiet_ms)
    }

    /// One look at the log; whether there was anything, or may be more.
    async fn step(&mut self) -> Result<bool, RelayError> {
        self.note_progress().await?;
        self.see_to_parked().await?;
        let is_inside = self.is_inside_a_difference();
        let records = self.next().await?;
        if records.is_empty() {
            return Ok(is_inside);
        }
        self.metrics.batches.inc();
        self.send(records).await?;
        Ok(true)
    }

    /// Everything that was committed before it was told to stop, acknowledged and saved. What
    /// others publish meanwhile is left for the next start: they may be faster than this one.
    async fn drain(mut self) -> Result<(), RelayError> {
        self.reach_the_target().await?;
        self.step().await?;
        self.reach_the_target().await?;
        self.settle().await?;
        self.note_progress().await?;
        self.save_unsaved().await
    }

    async fn reach_the_target(&mut self) -> Result<(), RelayError> {
        while self.is_inside_a_difference() {
            self.step().await?;
        }
        Ok(())
    }

    /// Whether a difference that is too large for one look is being read.
    fn is_inside_a_difference(&self) -> bool {
        self.progress.read().towards.is_some()
    }

    /// Reads on: all there is at the moment, or a page of it. The page behind the last one is
    /// empty.
    async fn next(&mut self) -> Result<Vec<Record>, RelayError> {
        let acknowledged = self.progress.read().acknowledged.clone();
        if !self.is_inside_a_difference() {
            match self.session.tick(&acknowledged, &mut self.portion).await? {
                Difference::Whole { now, records } => {
                    self.progress.reading().reached(now);
                    return Ok(self.or_settled(records));
                }
                Difference::Large { now, before } => self.progress.reading().begins(now, before),
            }
        }
        let Some((target, after)) = self.progress.read().towards.clone() else {
            return Ok(Vec::new());
        };
        let records = self
            .session
            .page(&acknowledged, &target, after, &mut self.portion)
            .await?;
        self.progress
            .reading()
            .paged(records.last().map(Record::position));
        Ok(self.or_settled(records))
    }

    /// A look that found nothing still moves the cursor, behind all that is in flight.
    fn or_settled(&mut self, records: Vec<Record>) -> Vec<Record> {
        if records.is_empty() {
            self.progress.expect(false);
            // With nothing in flight it is true at once.
            self.progress.acknowledged(self.producer.prefix());
        }
        records
    }

    async fn send(&mut self, records: Vec<Record>) -> Result<(), RelayError> {
        let (Some(first), Some(last)) = (records.first(), records.last()) else {
            return Ok(());
        };
        let positions = first.position()..=last.position();
        let mut discarded = self.discarded(positions.clone()).await?;
        let mut page = Vec::with_capacity(records.len());
        for record in records {
            let position = record.position();
            if self.is_parked(&record) {
                if self.session.park_behind(&record).await? {
                    self.was_handled(position);
                    continue;
                }
                // An operator may have discarded what was before it, and it as well.
                self.load_parked().await?;
                discarded = self.discarded(positions.clone()).await?;
            }
            if discarded.contains(&position) {
                self.was_handled(position);
                continue;
            }
            match self.style {
                Style::Pipelined => page.push(record),
                Style::OneByOne { .. } => {
                    self.send_alone(record).await?;
                    self.was_handled(position);
                }
            }
        }
        if let Some(first) = page.first() {
            self.recorded
                .push_back((self.progress.sent(), first.recorded_at().timestamp_micros()));
            self.hand_over(Arc::new(page)).await?;
        }
        self.progress.expect(true);
        Ok(())
    }

    fn was_handled(&mut self, position: i64) {
        if self.style == (Style::OneByOne { until: position }) {
            self.style = Style::Pipelined;
        }
    }

    /// Waits for room.
    async fn hand_over(&mut self, page: Arc<Vec<Record>>) -> Result<(), RelayError> {
        self.progress.send(page.len() as u64);
        while !self.producer.try_send(&page)? {
            self.wait().await?;
        }
        Ok(())
    }

    /// Waits until nothing is in flight.
    async fn settle(&mut self) -> Result<(), RelayError> {
        while self.producer.prefix() < self.progress.sent() {
            self.wait().await?;
        }
        Ok(())
    }

    /// Waits for Kafka for a moment. Meanwhile the session must not fall asleep, nor trouble go
    /// unseen.
    async fn wait(&mut self) -> Result<(), RelayError> {
        self.note_progress().await?;
        tokio::time::sleep(WAIT).await;
        if self.pinged.elapsed() > PING_EVERY {
            self.session.ping().await?;
            self.pinged = Instant::now();
        }
        Ok(())
    }

    /// Sends one event with nothing else in flight. If Kafka refuses it now, it is this one: it is
    /// parked.
    async fn send_alone(&mut self, record: Record) -> Result<(), RelayError> {
        if self.session.is_put_aside(record.position()).await? {
            return Ok(());
        }
        self.settle().await?;
        let alone = Arc::new(vec![record]);
        match self.send_and_wait(alone.clone()).await {
            Err(RelayError::Trouble(Trouble::Refused(refused))) => {
                let record = &alone[0];
                self.session.park(record, &refused.reason).await?;
                let (event_id, event_type, key) = (record.id(), record.event_type(), record.key());
                tracing::error!(%event_id, event_type, key, reason = refused.reason, "event is parked");
                Err(Trouble::Refused(refused).into())
            }
            outcome => outcome,
        }
    }

    /// Sends one event and waits for what Kafka says about it.
    async fn send_and_wait(&mut self, alone: Arc<Vec<Record>>) -> Result<(), RelayError> {
        self.hand_over(alone).await?;
        self.settle().await
    }

    async fn note_progress(&mut self) -> Result<(), RelayError> {
        let prefix = self.producer.prefix();
        self.progress.acknowledged(prefix);
        while self
            .recorded
            .get(1)
            .is_some_and(|(from, _)| *from <= prefix)
        {
            self.recorded.pop_front();
        }
        if prefix == self.progress.sent() {
            self.recorded.clear();
        }
        self.metrics.oldest.set(
            self.recorded
                .front()
                .map_or(0, |(_, recorded_at)| *recorded_at),
        );
        self.metrics
            .waiting
            .set(i64::try_from(self.progress.sent() - prefix).unwrap_or(i64::MAX));
        if let Some(trouble) = self.producer.trouble() {
            // What is acknowledged need not be sent again.
            self.save_unsaved().await?;
            return Err(trouble.into());
        }
        let since = self.saved_at.elapsed();
        if (since >= self.save_pause && self.progress.to_save().is_some())
            || since >= SAVE_IDLE_EVERY
        {
            self.save_unsaved().await?;
        }
        Ok(())
    }

    async fn save_unsaved(&mut self) -> Result<(), RelayError> {
        self.saved_at = Instant::now();
        if let Some(cursor) = self.progress.unsaved().cloned() {
            self.session.save_cursor(&cursor).await?;
            self.progress.saved(cursor);
            let took = self.saved_at.elapsed();
            self.save_pause = (took * REST_OF_SAVE).clamp(SAVE_EVERY, LONGEST_SAVE_PAUSE);
        }
        Ok(())
    }

    /// Sleeps between looks, and is woken by publishers or by the safety net, until events come
    /// close together.
    async fn sleep(&mut self, stop: &CancellationToken) -> Result<(), RelayError> {
        if !self.session.try_sleep().await? {
            return Ok(());
        }
        let mut in_a_row = 0;
        let mut waited = Duration::MAX;
        loop {
            // The first time: what was committed before publishers knew that we sleep.
            if self.step().await? {
                in_a_row = if waited < self.quiet() {
                    in_a_row + 1
                } else {
                    0
                };
            }
            if in_a_row >= BUSY || stop.is_cancelled() || self.is_inside_a_difference() {
                return Ok(self.session.wake().await?);
            }
            let all_is_saved = self.progress.is_settled() && self.progress.to_save().is_none();
            let began = Instant::now();
            tokio::select! {
                () = self.session.notified(if all_is_saved { SAFETY_NET } else { SAVE_EVERY }) => {}
                () = stop.cancelled() => {}
            }
            waited = began.elapsed();
        }
    }
}
