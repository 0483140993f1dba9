use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, SyncSender, TrySendError},
    },
    thread::JoinHandle,
    time::Duration,
};

use outbox::log::Record;
use rdkafka::{
    ClientConfig,
    error::{KafkaError, KafkaResult},
};
use tokio::sync::Notify;

use crate::{RelaySettings, acks::Refused, feeder::Feeder, metrics::RelayMetrics};

/// Pages that may wait for the producer; with them the reader is always a little ahead.
const PAGES: usize = 2;

/// Kafka's producer on a thread of its own. Dropping it throws away what is not acknowledged.
pub struct Producer {
    pages: Option<SyncSender<Arc<Vec<Record>>>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the producer and its thread tell each other.
#[derive(Default)]
pub struct Shared {
    /// How many events from the first on are all acknowledged.
    pub prefix: AtomicU64,
    /// Told when it has changed.
    pub acknowledged: Notify,
    /// Why it cannot go on.
    pub trouble: Mutex<Option<Trouble>>,
    pub give_up: AtomicBool,
}

/// Why this producer cannot go on. The next one starts from the saved cursor.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Trouble {
    #[error("Kafka refused the event at position {}: {}", .0.position, .0.reason)]
    Refused(Refused),
    #[error("Kafka's producer cannot go on: {0}")]
    Broken(String),
}

/// How events are produced: in order without a gap, and never given up.
pub fn client_config(settings: &RelaySettings) -> ClientConfig {
    let mut config = settings
        .kafka
        .client_config(&format!("relay{}", settings.source));
    config
        .set("enable.idempotence", "true")
        // A gap in what was sent must stop everything behind it, or a key's events would be out of
        // order.
        .set("enable.gapless.guarantee", "true")
        .set("acks", "all")
        // An outage of any length is waited out.
        .set("message.timeout.ms", "0")
        .set("compression.type", "lz4")
        // As Java's clients choose a key's partition.
        .set("partitioner", "murmur2_random")
        .set("linger.ms", settings.linger_ms.to_string())
        .set("message.max.bytes", "2000000")
        .set(
            "queue.buffering.max.kbytes",
            settings.buffer_kib.to_string(),
        )
        .set("queue.buffering.max.messages", "100000")
        .set("topic.metadata.propagation.max.ms", "5000");
    config
}

impl Producer {
    pub fn start(settings: &RelaySettings, metrics: RelayMetrics) -> KafkaResult<Self> {
        let shared = Arc::<Shared>::default();
        let feeder = Feeder::new(settings, metrics, shared.clone())?;
        let (pages, received) = mpsc::sync_channel(PAGES);
        let thread = std::thread::Builder::new()
            .name("producer".to_owned())
            .spawn(move || feeder.run(&received))
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self {
            pages: Some(pages),
            shared,
            thread: Some(thread),
        })
    }

    /// Hands a page over; `false` while there is no room.
    pub fn try_send(&self, page: &Arc<Vec<Record>>) -> Result<bool, Trouble> {
        let pages = self
            .pages
            .as_ref()
            .expect("pages are taken until the producer is dropped");
        match pages.try_send(page.clone()) {
            Ok(()) => Ok(true),
            Err(TrySendError::Full(_)) => Ok(false),
            Err(TrySendError::Disconnected(_)) => Err(self
                .trouble()
                .unwrap_or_else(|| Trouble::Broken("its thread has ended".to_owned()))),
        }
    }

    /// How many of the events that were handed over, from the first on, are all acknowledged.
    pub fn prefix(&self) -> u64 {
        self.shared.prefix.load(Ordering::Acquire)
    }

    /// Waits until as many events are acknowledged, at most for so long.
    pub async fn acknowledged(&self, events: u64, at_most: Duration) {
        let all = async {
            while self.prefix() < events {
                self.shared.acknowledged.notified().await;
            }
        };
        // What is not acknowledged by then need not be waited for.
        let _ = tokio::time::timeout(at_most, all).await;
    }

    pub fn trouble(&self) -> Option<Trouble> {
        self.shared
            .trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.shared.give_up.store(true, Ordering::Release);
        self.pages = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the producer's thread panicked");
        }
    }
}
