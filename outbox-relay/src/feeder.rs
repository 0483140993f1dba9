use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use kernel::{Clock, TraceParent};
use outbox::log::OutboxEvent;
use rdkafka::{
    ClientContext,
    config::FromClientConfigAndContext,
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    producer::{BaseProducer, DeliveryResult, Producer as _, ProducerContext, PurgeConfig},
};
use telemetry::traces::{Kind, Span};

use crate::{
    RelaySettings,
    acks::Acks,
    message::Messages,
    metrics::RelayMetrics,
    opening::{Destination, Opening},
    producer::{
        config::producer_config,
        shared::{ProducerError, SharedState},
    },
};

/// What Kafka's client reports about one event.
struct DeliveryReport {
    number: u64,
    outcome: Result<(), RDKafkaErrorCode>,
}

/// Receives the calls of Kafka's client.
struct Callbacks {
    reports: Arc<Mutex<Vec<DeliveryReport>>>,
    is_suspect: Arc<AtomicBool>,
}

impl ClientContext for Callbacks {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            // The client reports this also when only the first of a host's addresses does not
            // answer. So the feeder asks the brokers whether it is true.
            self.is_suspect.store(true, Ordering::Release);
        }
        tracing::debug!(%error, reason, "Kafka");
    }
}

impl ProducerContext for Callbacks {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let outcome = match result {
            Ok(_) => Ok(()),
            Err((error, _)) => Err(error
                .rdkafka_error_code()
                .unwrap_or(RDKafkaErrorCode::Unknown)),
        };
        let report = DeliveryReport {
            number: number as u64,
            outcome,
        };
        self.reports
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(report);
    }
}

/// Whether Kafka will never take this very event, however often it is sent.
///
/// A missing topic or permission is not among these: an operator repairs it, and the event goes
/// through.
fn is_final(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::InvalidMessage
            | RDKafkaErrorCode::InvalidMessageSize
            | RDKafkaErrorCode::InvalidRecord
            | RDKafkaErrorCode::PolicyViolation
    )
}

/// What the feeder notes of an event that is in flight or held back.
struct SentEvent {
    destination: Destination,
    recorded_at_micros: i64,
    span: Span,
}

/// An event that waits until the first one of its partition is acknowledged.
struct HeldEvent {
    page: Arc<Vec<OutboxEvent>>,
    index: usize,
    number: u64,
}

/// Gives events to Kafka's client, and takes its delivery reports.
pub struct Feeder {
    producer: BaseProducer<Callbacks>,
    reports: Arc<Mutex<Vec<DeliveryReport>>>,
    shared: Arc<SharedState>,
    acks: Acks<SentEvent>,
    opening: Opening<HeldEvent>,
    /// Bytes of the events that are held back.
    held_bytes: usize,
    /// While more bytes than these are held back, the feeder takes no further page.
    held_bytes_max: usize,
    silence_checked_at: Instant,
    /// Whether the client has reported that all brokers are down, and none has answered since.
    is_suspect: Arc<AtomicBool>,
    brokers_asked_at: Instant,
    unreachable_since: Option<Instant>,
    /// The acknowledged prefix, and when it last grew or nothing was in flight.
    last_progress: (u64, Instant),
    metrics: RelayMetrics,
    clock: Clock,
    service: String,
    messages: Messages,
}

/// Between polls of the client while events are in flight: it bounds what the feeder adds to the
/// time until an acknowledgement is seen.
const BUSY_POLL_INTERVAL: Duration = Duration::from_millis(1);
/// Between polls of the client while nothing is in flight. A new page ends this wait at once; only
/// the client's own events wait for so long.
const IDLE_POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Between two questions whether brokers can be reached, while that is in doubt.
const BROKER_CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// How long the feeder waits for the brokers' answer. It sends nothing meanwhile.
const METADATA_TIMEOUT: Duration = Duration::from_millis(500);
/// After this time without a broker the relay makes a new client. A client that got an answer
/// without any broker forgets all brokers that it knew, and never finds one again (issue 5301 of
/// librdkafka).
const NEW_CLIENT_AFTER: Duration = Duration::from_secs(30);
/// Between checks for silent partitions. Silence is counted in hours, so a minute is soon enough.
const SILENCE_CHECK_INTERVAL: Duration = Duration::from_secs(60);
/// An event that is in flight for longer than this counts as an outage. The client by itself sends
/// again what a broker refuses for the moment, without a report: NOT_ENOUGH_REPLICAS, a partition
/// without a leader.
const STANDSTILL_AFTER: Duration = Duration::from_secs(10);

impl Feeder {
    pub fn new(
        settings: &RelaySettings,
        metrics: RelayMetrics,
        shared: Arc<SharedState>,
    ) -> KafkaResult<Self> {
        let reports = Arc::<Mutex<Vec<DeliveryReport>>>::default();
        // The outage that an earlier producer reported may be over by now.
        let is_suspect = Arc::new(AtomicBool::new(metrics.outage.get() == 1));
        let callbacks = Callbacks {
            reports: reports.clone(),
            is_suspect: is_suspect.clone(),
        };
        Ok(Self {
            producer: BaseProducer::from_config_and_context(&producer_config(settings), callbacks)?,
            reports,
            shared,
            acks: Acks::default(),
            opening: Opening::new(&settings.kafka.kafka_prefix),
            held_bytes: 0,
            held_bytes_max: usize::try_from(settings.buffer_kib)
                .unwrap_or(usize::MAX)
                .saturating_mul(1024),
            silence_checked_at: Instant::now(),
            is_suspect,
            brokers_asked_at: Instant::now(),
            unreachable_since: None,
            last_progress: (0, Instant::now()),
            metrics,
            clock: Clock::system(),
            service: settings.service().to_owned(),
            messages: Messages::new(settings.source.clone()),
        })
    }

    /// Sends pages until there are no more, or the producer is stopped or has failed.
    pub fn run(mut self, pages: &mpsc::Receiver<Arc<Vec<OutboxEvent>>>) {
        loop {
            match self.next_page(pages) {
                Ok(page) => {
                    for index in 0..page.len() {
                        if !self.send_or_hold(&page, index) {
                            break;
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.poll();
            self.count_partitions();
            self.send_released();
            self.check_brokers();
            self.check_standstill();
            self.check_silence();
            if self.is_over() {
                break;
            }
        }
        self.producer
            .purge(PurgeConfig::default().queue().inflight());
        self.producer.poll(Duration::ZERO);
    }

    fn next_page(
        &self,
        pages: &mpsc::Receiver<Arc<Vec<OutboxEvent>>>,
    ) -> Result<Arc<Vec<OutboxEvent>>, RecvTimeoutError> {
        if self.held_bytes > self.held_bytes_max {
            std::thread::sleep(BUSY_POLL_INTERVAL);
            return Err(RecvTimeoutError::Timeout);
        }
        // The wait is here, because the client's own poll would spin through its last millisecond.
        pages.recv_timeout(if self.acks.in_flight() > 0 {
            BUSY_POLL_INTERVAL
        } else {
            IDLE_POLL_INTERVAL
        })
    }

    /// Sends one event of a page, or holds it back; `false` when the feeder is to end.
    fn send_or_hold(&mut self, page: &Arc<Vec<OutboxEvent>>, index: usize) -> bool {
        let event = &page[index];
        let destination = self.opening.destination(event.topic(), event.key());
        let topic = self.opening.topic(destination);
        let sent = SentEvent {
            destination,
            recorded_at_micros: event.recorded_at().timestamp_micros(),
            span: self.span(event, &topic),
        };
        let number = self.acks.add(event.position(), sent);
        if self.opening.may_go(destination, Instant::now()) {
            return self.send(event, destination, number);
        }
        self.held_bytes += size(event);
        let page = page.clone();
        self.opening.hold(
            destination,
            HeldEvent {
                page,
                index,
                number,
            },
        );
        true
    }

    /// Sends the events that need not be held back any longer.
    fn send_released(&mut self) {
        while let Some((
            destination,
            HeldEvent {
                page,
                index,
                number,
            },
        )) = self.opening.released(Instant::now())
        {
            self.held_bytes -= size(&page[index]);
            // The partition may not have been known when the event was read.
            if let Some(sent) = self.acks.note_mut(number) {
                sent.destination = destination;
            }
            if !self.send(&page[index], destination, number) {
                return;
            }
        }
    }

    /// Gives one event to the client, and waits while the client's queue is full; `false` when the
    /// feeder is to end.
    fn send(&mut self, event: &OutboxEvent, destination: Destination, number: u64) -> bool {
        let topic = self.opening.topic(destination);
        let opaque = usize::try_from(number).expect("fewer events than addresses");
        let mut next = self.messages.message(event, &topic, opaque);
        next.partition = destination.partition();
        loop {
            match self.producer.send(next) {
                Ok(()) => return true,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), same)) => {
                    next = same;
                    std::thread::sleep(BUSY_POLL_INTERVAL);
                    self.poll();
                    self.check_brokers();
                    self.check_standstill();
                    self.check_silence();
                    if self.is_over() {
                        return false;
                    }
                }
                Err((error, _)) => {
                    let code = error
                        .rdkafka_error_code()
                        .unwrap_or(RDKafkaErrorCode::Unknown);
                    self.fail_with_code(number, number, code);
                    return false;
                }
            }
        }
    }

    /// Counts the partitions of topics that have acknowledged an event, and again from time to
    /// time.
    fn count_partitions(&mut self) {
        while let Some(topic) = self.opening.next_to_count(Instant::now()) {
            // Without an answer the known number stays.
            let metadata = self
                .producer
                .client()
                .fetch_metadata(Some(&topic), METADATA_TIMEOUT);
            let Ok(metadata) = metadata else {
                continue;
            };
            let found = metadata
                .topics()
                .iter()
                .find(|found| found.name() == &*topic);
            let partitions = found.map_or(0, |found| found.partitions().len());
            self.opening.counted(
                &topic,
                u32::try_from(partitions).unwrap_or(u32::MAX),
                Instant::now(),
            );
        }
    }

    /// Fails when a partition has been silent for so long that Kafka may forget this producer.
    fn check_silence(&mut self) {
        if self.silence_checked_at.elapsed() < SILENCE_CHECK_INTERVAL {
            return;
        }
        self.silence_checked_at = Instant::now();
        if let Some(silent) = self.opening.silent(self.silence_checked_at) {
            self.fail(|| ProducerError::Broken(silent));
        }
    }

    /// The trace's span of sending an event: a child of the span that created it, and linked to it.
    fn span(&self, event: &OutboxEvent, topic: &str) -> Span {
        let created: Option<TraceParent> = event.traceparent().and_then(|trace| trace.parse().ok());
        let Some(created) = created else {
            return Span::none();
        };
        let service = format!("{}-relay", self.service);
        Span::begin(
            service,
            Kind::Client,
            created.child(),
            Some(created),
            || format!("send {}", event.event_type()),
        )
        .linked(created)
        .with("messaging.system", "kafka")
        .with("messaging.operation.type", "send")
        .with("messaging.destination.name", topic)
        .with("messaging.message.id", event.id())
        .with("messaging.kafka.message.key", event.key())
        .with("cloudevents.event_type", event.event_type())
    }

    /// Asks the brokers for their list while it is in doubt that any can be reached. It asks also
    /// with nothing in flight, because then nothing else shows that the outage is over.
    fn check_brokers(&mut self) {
        if !self.is_suspect.load(Ordering::Acquire)
            || self.brokers_asked_at.elapsed() < BROKER_CHECK_INTERVAL
        {
            return;
        }
        let answer = self
            .producer
            .client()
            .fetch_metadata(None, METADATA_TIMEOUT);
        self.brokers_asked_at = Instant::now();
        let error = match answer {
            // A cluster that believes its only broker to be down names none.
            Ok(metadata) if metadata.brokers().is_empty() => {
                "the answer names no broker".to_owned()
            }
            Ok(_) => return self.outage_is_over(),
            Err(error) => error.to_string(),
        };
        if self.metrics.outage.set(1) == 0 {
            tracing::warn!(
                error,
                "no broker can be reached; the outbox keeps what is committed"
            );
        }
        let since = *self.unreachable_since.get_or_insert(self.brokers_asked_at);
        if since.elapsed() > NEW_CLIENT_AFTER {
            self.fail(|| {
                ProducerError::Broken(format!("no broker was reached for a while: {error}"))
            });
        }
    }

    /// Reports an outage when the oldest event has been in flight for too long although brokers
    /// answer.
    fn check_standstill(&mut self) {
        let (prefix, since) = self.last_progress;
        if self.acks.in_flight() == 0 || self.acks.prefix() != prefix {
            self.last_progress = (self.acks.prefix(), Instant::now());
            return;
        }
        if since.elapsed() > STANDSTILL_AFTER && self.metrics.outage.set(1) == 0 {
            tracing::warn!(
                waiting = self.acks.in_flight(),
                "brokers answer, but do not take an event; see whether its partition has a leader \
                 and as many replicas in sync as its topic's min.insync.replicas"
            );
        }
    }

    fn outage_is_over(&mut self) {
        self.unreachable_since = None;
        self.is_suspect.store(false, Ordering::Release);
        if self.metrics.outage.set(0) == 1 {
            tracing::info!("brokers can be reached again");
        }
    }

    /// Applies the delivery reports that have come since the last poll.
    fn poll(&mut self) {
        let reports = self.reports();
        if reports.is_empty() {
            return;
        }
        let (now, at) = (self.clock.now().timestamp_micros(), Instant::now());
        for report in reports.iter().filter(|report| report.outcome.is_ok()) {
            if let Some(sent) = self.acks.acknowledge(report.number) {
                self.opening.acknowledged(sent.destination, at);
                sent.span.end();
                #[expect(clippy::cast_precision_loss, reason = "microseconds of an hour fit")]
                self.metrics
                    .insert_to_ack
                    .observe((now - sent.recorded_at_micros) as f64 / 1e6);
                self.metrics.sent.inc();
            }
        }
        if self.acks.prefix() != self.last_progress.0 {
            self.outage_is_over();
        }
        self.shared
            .prefix
            .store(self.acks.prefix(), Ordering::Release);
        self.shared.acknowledged.notify_one();
        let refused = |report: &&DeliveryReport| report.outcome.is_err_and(is_final);
        if let Some(first) = reports.iter().find(refused) {
            let last = reports.iter().rfind(refused).unwrap_or(first);
            if let Err(code) = first.outcome {
                self.fail_with_code(first.number, last.number, code);
            }
        }
        if let Some((number, code)) = reports
            .iter()
            .find_map(|report| Some((report.number, report.outcome.err()?)))
        {
            self.fail_with_code(number, number, code);
        }
    }

    /// All delivery reports that the client has by now. One poll of the client serves one answer of
    /// a broker. The feeder therefore polls until nothing more comes: answers that are left over
    /// would fill the client's queue, which then takes only one message for each one that is
    /// served.
    fn reports(&self) -> Vec<DeliveryReport> {
        let mut served = 0;
        loop {
            self.producer.poll(Duration::ZERO);
            let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
            if reports.len() == served {
                return std::mem::take(&mut *reports);
            }
            served = reports.len();
        }
    }

    /// Ends the feeder because Kafka answered to the events from `first` to `last` with `code`.
    fn fail_with_code(&self, first: u64, last: u64, code: RDKafkaErrorCode) {
        self.fail(|| {
            let refused = is_final(code)
                .then(|| self.acks.refused(first, last, code.to_string()))
                .flatten();
            refused.map_or_else(
                || ProducerError::Broken(code.to_string()),
                ProducerError::Refused,
            )
        });
    }

    /// Ends the feeder with an error. Only the first one is kept: it is the cause of those behind
    /// it.
    fn fail(&self, error: impl FnOnce() -> ProducerError) {
        if !self.shared.is_stopped.load(Ordering::Acquire) {
            self.shared.error().get_or_insert_with(error);
        }
    }

    fn is_over(&self) -> bool {
        self.shared.is_stopped.load(Ordering::Acquire) || self.shared.error().is_some()
    }
}

fn size(event: &OutboxEvent) -> usize {
    event.key().len() + event.payload_bytes().len()
}
