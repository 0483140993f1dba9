use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use kernel::{Clock, TraceParent};
use outbox::log::Record;
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
    opening::{Opening, Place},
    producer::{Shared, Trouble, client_config},
};

struct Report {
    number: u64,
    outcome: Result<(), RDKafkaErrorCode>,
}

struct Context {
    reports: Arc<Mutex<Vec<Report>>>,
    is_suspect: Arc<AtomicBool>,
}

impl ClientContext for Context {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            // Said also of an address that is tried before the right one: whether it is true is
            // asked.
            self.is_suspect.store(true, Ordering::Release);
        }
        tracing::debug!(%error, reason, "Kafka");
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let outcome = match result {
            Ok(_) => Ok(()),
            Err((error, _)) => Err(error
                .rdkafka_error_code()
                .unwrap_or(RDKafkaErrorCode::Unknown)),
        };
        let report = Report {
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
/// A missing topic or permission is none of these: an operator mends it, and the event goes
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

/// What is noted of an event that is in flight.
struct Sent {
    place: Place,
    recorded_at_micros: i64,
    step: Span,
}

/// An event that waits until the first of its partition is acknowledged.
struct Held {
    page: Arc<Vec<Record>>,
    index: usize,
    number: u64,
}

/// Feeds Kafka's producer, and takes in what Kafka says.
pub struct Feeder {
    producer: BaseProducer<Context>,
    reports: Arc<Mutex<Vec<Report>>>,
    shared: Arc<Shared>,
    acks: Acks<Sent>,
    opening: Opening<Held>,
    /// Bytes of the events that are held back, and how many may be before no further page is taken.
    held: usize,
    may_hold: usize,
    /// When it was last asked whether a partition is silent.
    looked: Instant,
    /// Whether the client has said that all brokers are down since one last answered.
    is_suspect: Arc<AtomicBool>,
    asked: Instant,
    unreachable_since: Option<Instant>,
    /// How many events were acknowledged from the first on when that last changed, or nothing was
    /// in flight; and when.
    moved: (u64, Instant),
    metrics: RelayMetrics,
    clock: Clock,
    service: String,
    messages: Messages,
}

const SHORT: Duration = Duration::from_millis(1);
/// With nothing in flight only a new page is worth waking up for, and now and then the client's own
/// events.
const LONG: Duration = Duration::from_millis(500);
/// For an answer of brokers.
const ASK: Duration = Duration::from_millis(500);
/// After so long without a broker a new client is made. One that was told of no broker forgets all
/// it knew, and never finds one again (issue 5301 of librdkafka).
const RENEW: Duration = Duration::from_secs(30);
/// Between looks for partitions that are silent.
const LOOK: Duration = Duration::from_secs(60);

/// So long an event in flight may have no acknowledgement before this is an outage. The client
/// tries again by itself what a broker refuses for the moment, and says nothing of it:
/// NOT_ENOUGH_REPLICAS, a partition without a leader.
const STANDSTILL: Duration = Duration::from_secs(10);

impl Feeder {
    pub fn new(
        settings: &RelaySettings,
        metrics: RelayMetrics,
        shared: Arc<Shared>,
    ) -> KafkaResult<Self> {
        let reports = Arc::<Mutex<Vec<Report>>>::default();
        // An outage of an earlier producer may be over by now.
        let is_suspect = Arc::new(AtomicBool::new(metrics.outage.get() == 1));
        let context = Context {
            reports: reports.clone(),
            is_suspect: is_suspect.clone(),
        };
        Ok(Self {
            producer: BaseProducer::from_config_and_context(&client_config(settings), context)?,
            reports,
            shared,
            acks: Acks::default(),
            opening: Opening::new(&settings.kafka.kafka_prefix),
            held: 0,
            may_hold: usize::try_from(settings.buffer_kib)
                .unwrap_or(usize::MAX)
                .saturating_mul(1024),
            looked: Instant::now(),
            is_suspect,
            asked: Instant::now(),
            unreachable_since: None,
            moved: (0, Instant::now()),
            metrics,
            clock: Clock::system(),
            service: settings.service().to_owned(),
            messages: Messages::new(settings.source.clone()),
        })
    }

    /// Until the pages end, or it is given up.
    pub fn run(mut self, pages: &mpsc::Receiver<Arc<Vec<Record>>>) {
        loop {
            match self.next_page(pages) {
                Ok(page) => {
                    for index in 0..page.len() {
                        if !self.take_in(&page, index) {
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
            self.look_for_brokers();
            self.look_for_a_standstill();
            self.look_for_silence();
            if self.is_given_up() {
                break;
            }
        }
        self.producer
            .purge(PurgeConfig::default().queue().inflight());
        self.producer.poll(Duration::ZERO);
    }

    fn next_page(
        &self,
        pages: &mpsc::Receiver<Arc<Vec<Record>>>,
    ) -> Result<Arc<Vec<Record>>, RecvTimeoutError> {
        if self.held > self.may_hold {
            std::thread::sleep(SHORT);
            return Err(RecvTimeoutError::Timeout);
        }
        // The client's own poll would spin through its last millisecond.
        pages.recv_timeout(if self.acks.waiting() > 0 { SHORT } else { LONG })
    }

    /// Sends one event of a page in its turn, or holds it back; `false` when that is over.
    fn take_in(&mut self, page: &Arc<Vec<Record>>, index: usize) -> bool {
        let record = &page[index];
        let place = self.opening.place(record.topic(), record.key());
        let topic = self.opening.topic(place);
        let sent = Sent {
            place,
            recorded_at_micros: record.recorded_at().timestamp_micros(),
            step: self.step(record, &topic),
        };
        let number = self.acks.sent(record.position(), sent);
        if self.opening.may_go(place, Instant::now()) {
            return self.send(record, place, number);
        }
        self.held += size(record);
        let page = page.clone();
        self.opening.hold(
            place,
            Held {
                page,
                index,
                number,
            },
        );
        true
    }

    /// Sends what was held back and need not wait any longer.
    fn send_released(&mut self) {
        while let Some((
            place,
            Held {
                page,
                index,
                number,
            },
        )) = self.opening.released(Instant::now())
        {
            self.held -= size(&page[index]);
            // It was not known yet when the event was read.
            if let Some(sent) = self.acks.note(number) {
                sent.place = place;
            }
            if !self.send(&page[index], place, number) {
                return;
            }
        }
    }

    /// Hands one event to the client; `false` when that is over.
    fn send(&mut self, record: &Record, place: Place, number: u64) -> bool {
        let topic = self.opening.topic(place);
        let opaque = usize::try_from(number).expect("fewer events than addresses");
        let mut next = self.messages.message(record, &topic, opaque);
        next.partition = place.partition();
        loop {
            match self.producer.send(next) {
                Ok(()) => return true,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), same)) => {
                    next = same;
                    std::thread::sleep(SHORT);
                    self.poll();
                    self.look_for_brokers();
                    self.look_for_a_standstill();
                    self.look_for_silence();
                    if self.is_given_up() {
                        return false;
                    }
                }
                Err((error, _)) => {
                    let code = error
                        .rdkafka_error_code()
                        .unwrap_or(RDKafkaErrorCode::Unknown);
                    self.take_trouble(number, number, code);
                    return false;
                }
            }
        }
    }

    /// Counts the partitions of topics that were reached, and again now and then.
    fn count_partitions(&mut self) {
        while let Some(topic) = self.opening.next_to_count(Instant::now()) {
            // Without an answer it goes on as before.
            let Ok(metadata) = self.producer.client().fetch_metadata(Some(&topic), ASK) else {
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

    fn look_for_silence(&mut self) {
        if self.looked.elapsed() < LOOK {
            return;
        }
        self.looked = Instant::now();
        if let Some(silent) = self.opening.silent(self.looked) {
            self.take(|| Trouble::Broken(silent));
        }
    }

    /// The sending of an event, under the step that created it and linked to it.
    fn step(&self, record: &Record, topic: &str) -> Span {
        let created: Option<TraceParent> =
            record.traceparent().and_then(|trace| trace.parse().ok());
        let Some(created) = created else {
            return Span::none();
        };
        let service = format!("{}-relay", self.service);
        Span::begin(
            service,
            Kind::Client,
            created.child(),
            Some(created),
            || format!("send {}", record.event_type()),
        )
        .linked(created)
        .with("messaging.system", "kafka")
        .with("messaging.operation.type", "send")
        .with("messaging.destination.name", topic)
        .with("messaging.message.id", record.id())
        .with("messaging.kafka.message.key", record.key())
        .with("cloudevents.event_type", record.event_type())
    }

    /// Asks for brokers while there is reason to doubt that any can be reached. Also with nothing
    /// in flight, when nothing else would tell that they are back.
    fn look_for_brokers(&mut self) {
        if !self.is_suspect.load(Ordering::Acquire) || self.asked.elapsed() < LONG {
            return;
        }
        let answer = self.producer.client().fetch_metadata(None, ASK);
        self.asked = Instant::now();
        let error = match answer {
            // A cluster whose only broker is taken to be away names none.
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
        let since = *self.unreachable_since.get_or_insert(self.asked);
        if since.elapsed() > RENEW {
            self.take(|| Trouble::Broken(format!("no broker was reached for a while: {error}")));
        }
    }

    /// Sees whether the oldest event in flight is still on its way although brokers answer.
    fn look_for_a_standstill(&mut self) {
        let (prefix, since) = self.moved;
        if self.acks.waiting() == 0 || self.acks.prefix() != prefix {
            self.moved = (self.acks.prefix(), Instant::now());
            return;
        }
        if since.elapsed() > STANDSTILL && self.metrics.outage.set(1) == 0 {
            tracing::warn!(
                waiting = self.acks.waiting(),
                "brokers answer, but do not take an event; see whether its partition has a leader and as many replicas in sync \
                 as its topic's min.insync.replicas"
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

    fn poll(&mut self) {
        let reports = self.reports();
        if reports.is_empty() {
            return;
        }
        let (now, at) = (self.clock.now().timestamp_micros(), Instant::now());
        for report in reports.iter().filter(|report| report.outcome.is_ok()) {
            if let Some(sent) = self.acks.acknowledged(report.number) {
                self.opening.acknowledged(sent.place, at);
                sent.step.end();
                #[expect(clippy::cast_precision_loss, reason = "microseconds of an hour fit")]
                self.metrics
                    .insert_to_ack
                    .observe((now - sent.recorded_at_micros) as f64 / 1e6);
                self.metrics.sent.inc();
            }
        }
        if self.acks.prefix() != self.moved.0 {
            self.outage_is_over();
        }
        self.shared
            .prefix
            .store(self.acks.prefix(), Ordering::Release);
        self.shared.acknowledged.notify_one();
        let refused = |report: &&Report| report.outcome.is_err_and(is_final);
        if let Some(first) = reports.iter().find(refused) {
            let last = reports.iter().rfind(refused).unwrap_or(first);
            if let Err(code) = first.outcome {
                self.take_trouble(first.number, last.number, code);
            }
        }
        if let Some((number, code)) = reports
            .iter()
            .find_map(|report| Some((report.number, report.outcome.err()?)))
        {
            self.take_trouble(number, number, code);
        }
    }

    /// What Kafka has said since the last time. One poll of the client serves one answer of a
    /// broker: what is left over would fill its queue, and a message at a time would go out for
    /// each message that is served.
    fn reports(&self) -> Vec<Report> {
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

    fn take_trouble(&self, number: u64, last: u64, code: RDKafkaErrorCode) {
        self.take(|| {
            let refused = is_final(code)
                .then(|| self.acks.refused(number, last, code.to_string()))
                .flatten();
            refused.map_or_else(|| Trouble::Broken(code.to_string()), Trouble::Refused)
        });
    }

    /// The first trouble is the cause; what fails behind it only follows.
    fn take(&self, trouble: impl FnOnce() -> Trouble) {
        if !self.shared.give_up.load(Ordering::Acquire) {
            let mut first = self
                .shared
                .trouble
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(trouble);
        }
    }

    fn is_given_up(&self) -> bool {
        self.shared.give_up.load(Ordering::Acquire)
            || self
                .shared
                .trouble
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_some()
    }
}

fn size(record: &Record) -> usize {
    record.key().len() + record.payload_bytes().len()
}
