pub mod config;
pub mod shared;

use std::{
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{self, SyncSender, TrySendError},
    },
    thread::JoinHandle,
    time::Duration,
};

use outbox::log::OutboxEvent;
use rdkafka::error::{KafkaError, KafkaResult};

use crate::{RelaySettings, feeder::Feeder, metrics::RelayMetrics};

use shared::{ProducerError, SharedState};

/// Pages that may wait for the feeder. Two are enough to keep the reader a little ahead of it.
const QUEUED_PAGES_MAX: usize = 2;

/// Kafka's producer on a thread of its own. Dropping it throws away what is not acknowledged.
pub struct Producer {
    pages: Option<SyncSender<Arc<Vec<OutboxEvent>>>>,
    shared: Arc<SharedState>,
    thread: Option<JoinHandle<()>>,
}

impl Producer {
    pub fn start(settings: &RelaySettings, metrics: RelayMetrics) -> KafkaResult<Self> {
        let shared = Arc::<SharedState>::default();
        let feeder = Feeder::new(settings, metrics, shared.clone())?;
        let (pages, received) = mpsc::sync_channel(QUEUED_PAGES_MAX);
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

    /// Queues a page for the feeder; `false` while the queue is full.
    pub fn try_enqueue(&self, page: &Arc<Vec<OutboxEvent>>) -> Result<bool, ProducerError> {
        let pages = self
            .pages
            .as_ref()
            .expect("pages are taken until the producer is dropped");
        match pages.try_send(page.clone()) {
            Ok(()) => Ok(true),
            Err(TrySendError::Full(_)) => Ok(false),
            Err(TrySendError::Disconnected(_)) => Err(self
                .error()
                .unwrap_or_else(|| ProducerError::Broken("its thread has ended".to_owned()))),
        }
    }

    /// The number of enqueued events, from the first on, that are all acknowledged.
    pub fn prefix(&self) -> u64 {
        self.shared.prefix.load(Ordering::Acquire)
    }

    /// Waits until this many events are acknowledged, or until the timeout.
    pub async fn wait_for_acks(&self, events: u64, timeout: Duration) {
        let all = async {
            while self.prefix() < events {
                self.shared.acknowledged.notified().await;
            }
        };
        // A timeout is no error: the caller polls the log again in any case.
        let _ = tokio::time::timeout(timeout, all).await;
    }

    pub fn error(&self) -> Option<ProducerError> {
        self.shared.error().clone()
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::Release);
        self.pages = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the producer's thread panicked");
        }
    }
}
