use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc as std_mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use connect::KafkaSettings;
use db::Db;
use kernel::Clock;
use rdkafka::{
    ClientContext, TopicPartitionList,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance, StreamConsumer},
    error::KafkaError,
};
use tokio::{runtime::Handle, sync::mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    InboxSettings, Message, Metrics, Subscriptions, purge, replay,
    worker::{Shared, Worker},
};

/// A partition with more messages in hand than this is paused.
const MANY: usize = 500;
/// And goes on with fewer than this.
const FEW: usize = 100;
/// What a revoked partition's worker has to finish or roll back.
const REVOKE_GRACE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the Kafka consumer cannot be made")]
    Kafka(#[from] KafkaError),
    #[error("the consumer's thread cannot be made")]
    Thread(#[source] std::io::Error),
}

type Place = (String, i32);

/// A partition's worker as the consumer sees it.
struct Hand {
    messages: mpsc::UnboundedSender<Message>,
    queued: Arc<AtomicUsize>,
    paused: Arc<AtomicBool>,
    stop: CancellationToken,
    ended: std_mpsc::Receiver<()>,
    task: tokio::task::AbortHandle,
}

type Hands = Arc<Mutex<HashMap<Place, Hand>>>;

/// Sees to it that a partition is given up only when its worker has finished or rolled back.
struct Context {
    hands: Hands,
}

impl ClientContext for Context {}
impl ConsumerContext for Context {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(revoked) = rebalance {
            let places = revoked
                .elements()
                .iter()
                .map(|one| (one.topic().to_owned(), one.partition()))
                .collect::<Vec<_>>();
            let mut hands = self.hands.lock().unwrap_or_else(PoisonError::into_inner);
            let given_up = places.iter().filter_map(|place| hands.remove(place)).collect();
            drop(hands);
            end(given_up);
            commit(consumer);
        }
    }
}

fn commit<C: ConsumerContext>(consumer: &impl Consumer<C>) {
    // Without it the next owner meets some events again, which its inbox knows.
    if let Err(error) = consumer.commit_consumer_state(CommitMode::Sync) {
        tracing::debug!(%error, "offsets not committed");
    }
}

/// Tells workers to stop and waits for them; who does not stop is cut off, which rolls back.
fn end(hands: Vec<Hand>) {
    for hand in &hands {
        hand.stop.cancel();
    }
    let deadline = Instant::now() + REVOKE_GRACE;
    for hand in hands {
        let left = deadline.saturating_duration_since(Instant::now());
        // The sender is dropped when the worker has ended, however it did.
        if let Err(std_mpsc::RecvTimeoutError::Timeout) = hand.ended.recv_timeout(left) {
            tracing::warn!("an event takes too long to finish; it is rolled back");
            hand.task.abort();
            let _ = hand.ended.recv_timeout(Duration::from_secs(1));
        }
    }
}

/// A consumer that was started.
pub struct Running {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
    tasks: CancellationToken,
}

impl Running {
    /// Finishes the events that are in work, commits the offsets, and leaves the group.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("the consumer did not stop in good order");
            }
        }
        self.tasks.cancel();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        self.tasks.cancel();
    }
}

/// Joins the group and hands events to their handlers until stopped. Workers run on the runtime that calls this.
#[expect(
    clippy::unused_async,
    reason = "must be called inside a runtime, which async says"
)]
pub async fn start<S: Clone + Send + Sync + 'static>(
    subscriptions: Subscriptions<S>,
    state: S,
    db: Db,
    kafka: &KafkaSettings,
    settings: &InboxSettings,
    metrics: Metrics,
) -> Result<Running, StartError> {
    metrics.expect(&subscriptions.event_types());
    let group = kafka.topic(subscriptions.name());
    let topics: Vec<String> = subscriptions
        .topics()
        .into_iter()
        .map(|topic| kafka.topic(topic))
        .collect();
    let mut config = kafka.client_config(&group);
    config
        .set("group.id", &group)
        .set("enable.auto.offset.store", "false")
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", "1000")
        .set("auto.offset.reset", "earliest")
        .set("allow.auto.create.topics", "false")
        .set("topic.metadata.refresh.interval.ms", "10000")
        .set("partition.assignment.strategy", "range")
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "1500")
        .set("fetch.wait.max.ms", "500")
        .set("fetch.error.backoff.ms", "50")
        .set("queued.min.messages", "1000")
        .set("queued.max.messages.kbytes", "4096");
    if let Some(instance) = &settings.inbox_instance {
        config.set("group.instance.id", format!("{group}-{instance}"));
    }
    let hands = Hands::default();
    let consumer = StreamConsumer::from_config_and_context(&config, Context { hands: hands.clone() })?;
    consumer.subscribe(&topics.iter().map(String::as_str).collect::<Vec<_>>())?;

    let shared = Arc::new(Shared {
        subscriptions,
        state,
        db,
        room: tokio::sync::Semaphore::new(usize::from(settings.inbox_concurrency)),
        settings: settings.clone(),
        metrics,
        clock: Clock::system(),
    });
    let (stop, tasks) = (CancellationToken::new(), CancellationToken::new());
    tokio::spawn(
        tasks
            .clone()
            .run_until_cancelled_owned(replay::run(shared.clone())),
    );
    tokio::spawn(
        tasks
            .clone()
            .run_until_cancelled_owned(purge::run(shared.clone())),
    );
    let pump = Pump {
        consumer: Arc::new(consumer),
        hands,
        shared,
        runtime: Handle::current(),
    };
    let stopped = stop.clone();
    let thread = std::thread::Builder::new()
        .name("inbox".to_owned())
        .spawn(move || pump.runtime.clone().block_on(pump.run(stopped)))
        .map_err(StartError::Thread)?;
    Ok(Running {
        stop,
        thread: Some(thread),
        tasks,
    })
}

/// Takes messages from Kafka and gives each to its partition's worker. It runs on a thread of its own, because a
/// rebalance is served inside of it and must wait for workers.
struct Pump<S> {
    consumer: Arc<StreamConsumer<Context>>,
    hands: Hands,
    shared: Arc<Shared<S>>,
    runtime: Handle,
}

impl<S: Send + Sync + 'static> Pump<S> {
    async fn run(self, stop: CancellationToken) {
        let (resume, mut resumed) = mpsc::unbounded_channel::<Place>();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(place) = resumed.recv() => self.resume(&place),
                received = self.consumer.recv() => match received {
                    Ok(message) => self.hand_over(Message::read(&message), &resume),
                    Err(error) => {
                        tracing::warn!(%error, "Kafka cannot be read at the moment");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
        let hands = std::mem::take(&mut *self.hands.lock().unwrap_or_else(PoisonError::into_inner));
        end(hands.into_values().collect());
        commit(&*self.consumer);
        self.consumer.unsubscribe();
    }

    fn hand_over(&self, message: Message, resume: &mpsc::UnboundedSender<Place>) {
        let place = (message.topic.clone(), message.partition);
        let mut hands = self.hands.lock().unwrap_or_else(PoisonError::into_inner);
        let hand = hands
            .entry(place.clone())
            .or_insert_with(|| self.new_worker(place.clone(), resume.clone()));
        let queued = hand.queued.fetch_add(1, Ordering::Relaxed) + 1;
        // A worker that has ended was stopped, and its partition is being given up: the next owner gets the message.
        let _ = hand.messages.send(message);
        if queued > MANY && !hand.paused.load(Ordering::Relaxed) {
            hand.paused
                .store(self.consumer.pause(&list(&place)).is_ok(), Ordering::Relaxed);
        }
    }

    fn resume(&self, place: &Place) {
        let mut hands = self.hands.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hand) = hands.get_mut(place)
            && hand.queued.load(Ordering::Relaxed) < FEW
        {
            hand.paused
                .store(self.consumer.resume(&list(place)).is_err(), Ordering::Relaxed);
        }
    }

    fn new_worker(&self, place: Place, resume: mpsc::UnboundedSender<Place>) -> Hand {
        let (messages, received) = mpsc::unbounded_channel();
        let (queued, stop) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        let (ending, ended) = std_mpsc::channel();
        let paused = Arc::new(AtomicBool::new(false));
        let (consumer, left, waits) = (self.consumer.clone(), queued.clone(), paused.clone());
        let done = move |next: i64| {
            let mut offsets = TopicPartitionList::new();
            let stored = offsets
                .add_partition_offset(&place.0, place.1, rdkafka::Offset::Offset(next))
                .and_then(|()| consumer.store_offsets(&offsets));
            // The partition was taken away meanwhile: its next owner meets these events again and knows them.
            if let Err(error) = stored {
                tracing::debug!(%error, topic = place.0, partition = place.1, "offset not stored");
            }
            if waits.load(Ordering::Relaxed) && left.load(Ordering::Relaxed) < FEW {
                // The pump has ended.
                let _ = resume.send(place.clone());
            }
        };
        let worker = Worker {
            shared: self.shared.clone(),
            messages: received,
            queued: queued.clone(),
            stop: stop.clone(),
            done: Box::new(done),
        };
        let task = self.runtime.spawn(async move {
            let _ending: std_mpsc::Sender<()> = ending;
            worker.run().await;
        });
        Hand {
            messages,
            queued,
            paused,
            stop,
            ended,
            task: task.abort_handle(),
        }
    }
}

fn list((topic, partition): &Place) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, *partition);
    list
}
