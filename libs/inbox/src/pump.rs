use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc as std_mpsc,
    },
    time::Duration,
};

use rdkafka::{
    consumer::{Consumer, StreamConsumer, stream_consumer::StreamPartitionQueue},
    error::KafkaError,
};
use tokio::{
    runtime::Handle,
    sync::{Notify, mpsc},
    task::{LocalSet, spawn_local},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Message,
    brokers::Brokers,
    hands::{Arrivals, Context, Hand, Hands, Item, Place, commit, end},
    partition::Partition,
    together::Together,
    worker::{Position, Shared, Worker, backoff},
};

/// A partition with more bytes of messages in hand than this is paused.
const MANY: usize = 1 << 20;
/// And goes on with fewer than this.
const FEW: usize = MANY / 4;
/// For how long at most the pump waits for the answer that wakes the client: other partitions wait
/// with it.
const WAKE: Duration = Duration::from_millis(20);
/// A partition that could not be read and says no more of it for so long can be read.
const QUIET: Duration = Duration::from_secs(15);

/// Takes messages from Kafka and gives each to its partition's worker. It runs on a thread of its
/// own, because a rebalance is served inside of it and must wait for workers.
pub(crate) struct Pump<S> {
    pub consumer: Arc<StreamConsumer<Context>>,
    pub hands: Hands,
    pub arrivals: Arc<Arrivals>,
    pub shared: Arc<Shared<S>>,
    pub together: Together,
    pub brokers: Arc<Brokers>,
    pub renew: Arc<Notify>,
    pub runtime: Handle,
    /// Where a worker says that it has few messages left.
    pub resume: mpsc::UnboundedSender<Place>,
    /// Told when the client may have failed for good.
    pub failed: Notify,
}

/// Why a pump has ended.
pub(crate) enum Ended {
    Stopped,
    /// There must be a new client: this one has lost all brokers, or is to be replaced as if it
    /// had.
    Lost,
    /// There must be a new client: this one met an error after which it does nothing any more, such
    /// as that another process uses its name.
    Failed(String),
}

impl<S: Send + Sync + 'static> Pump<S> {
    pub async fn run(
        self: &Arc<Self>,
        mut resumed: mpsc::UnboundedReceiver<Place>,
        stop: CancellationToken,
    ) -> Ended {
        // What reads the partitions is on this thread, too: it gets nothing while a rebalance is
        // served.
        let readers = LocalSet::new();
        readers.run_until(self.take_in(&mut resumed, stop)).await
    }

    async fn take_in(
        self: &Arc<Self>,
        resumed: &mut mpsc::UnboundedReceiver<Place>,
        stop: CancellationToken,
    ) -> Ended {
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.brokers.are_lost() => return self.without_brokers(Ended::Lost),
                () = self.renew.notified() => return self.without_brokers(Ended::Lost),
                () = self.failed.notified() => {
                    if let Some((code, reason)) = self.consumer.client().fatal_error() {
                        return self.without_brokers(Ended::Failed(format!("{code}: {reason}")));
                    }
                }
                queues = self.arrivals.come() => for (place, queue) in queues {
                    self.begin(place, queue);
                },
                Some(place) = resumed.recv() => self.go_on(&place),
                received = self.consumer.recv() => match received {
                    // Its partition has no queue of its own.
                    Ok(message) => self.hand_over(Message::read(&message)),
                    Err(error) => {
                        let cause = self.consumer.context().words(&error);
                        tracing::warn!(cause, "Kafka cannot be read at the moment");
                        self.failed.notify_one();
                    }
                },
            }
        }
        end(self.hands.take_all());
        commit(&*self.consumer);
        self.consumer.unsubscribe();
        Ended::Stopped
    }

    /// No broker would take the offsets.
    fn without_brokers(&self, ended: Ended) -> Ended {
        end(self.hands.take_all());
        ended
    }

    /// Reads a partition that was assigned.
    fn begin(self: &Arc<Self>, place: Place, queue: StreamPartitionQueue<Context>) {
        let mut hand = self.new_worker(place.clone());
        let pump = self.clone();
        let read = spawn_local(pump.read(place.clone(), queue));
        hand.reader = Some(read.abort_handle());
        self.hands.lock().insert(place, hand);
    }

    async fn read(self: Arc<Self>, place: Place, queue: StreamPartitionQueue<Context>) {
        let mut attempts = 0;
        loop {
            let received = if attempts == 0 {
                Ok(queue.recv().await)
            } else {
                tokio::time::timeout(QUIET, queue.recv()).await
            };
            match received {
                Ok(Ok(message)) => {
                    attempts = 0;
                    self.hand_over(Message::read(&message));
                }
                Ok(Err(error)) => {
                    attempts += 1;
                    self.wait_until_readable(&place, &error, attempts).await;
                }
                Err(_) => {
                    attempts = 0;
                    self.tell(&place, Item::Readable);
                }
            }
        }
    }

    /// What came behind the error must not be taken, or what could not be read would be passed
    /// over: a pause throws it away, and the client goes on after the last message that was handed
    /// over.
    async fn wait_until_readable(&self, place: &Place, error: &KafkaError, attempts: i32) {
        let cause = self.consumer.context().words(error);
        if let Err(error) = self.consumer.pause(&place.list()) {
            tracing::warn!(%error, topic = place.0, partition = place.1, "partition not paused");
        }
        self.failed.notify_one();
        self.tell(place, Item::Unreadable { attempts, cause });
        tokio::time::sleep(backoff(&self.shared.settings, attempts)).await;
        self.unpause(place);
    }

    fn tell(&self, place: &Place, item: Item) {
        if let Some(hand) = self.hands.lock().get(place) {
            // A worker that has ended was stopped, and its partition is being given up.
            let _ = hand.items.send(item);
        }
    }

    fn hand_over(self: &Arc<Self>, message: Message) {
        let place = Place(message.topic.clone(), message.partition);
        let mut hands = self.hands.lock();
        let hand = hands
            .entry(place.clone())
            .or_insert_with(|| self.new_worker(place.clone()));
        let weight = message.weight();
        let queued = hand.queued.fetch_add(weight, Ordering::SeqCst) + weight;
        // A worker that has ended was stopped, and its partition is being given up: the next owner
        // gets the message.
        let _ = hand.items.send(Item::Message(message));
        if queued > MANY && !hand.paused.swap(true, Ordering::SeqCst) {
            if let Err(error) = self.consumer.pause(&place.list()) {
                tracing::warn!(%error, topic = place.0, partition = place.1, "partition not paused");
            }
            // The worker may have drained it before it could see that it is paused, and will then
            // never ask for more.
            self.resume(&place, hand);
        }
    }

    fn go_on(&self, place: &Place) {
        if let Some(hand) = self.hands.lock().get(place) {
            self.resume(place, hand);
        }
    }

    fn resume(&self, place: &Place, hand: &Hand) {
        if hand.paused.load(Ordering::SeqCst) && hand.queued.load(Ordering::SeqCst) < FEW {
            self.unpause(place);
            hand.paused.store(false, Ordering::SeqCst);
        }
    }

    fn unpause(&self, place: &Place) {
        if let Err(error) = self.consumer.resume(&place.list()) {
            tracing::warn!(%error, topic = place.0, partition = place.1, "partition not resumed");
        }
        // The client's thread would look at the partition again when something wakes it, within a
        // second. A request to the partition's broker does; what it answers is not needed.
        let _ = self.consumer.fetch_watermarks(&place.0, place.1, WAKE);
    }

    fn new_worker(&self, place: Place) -> Hand {
        let (items, received) = mpsc::unbounded_channel();
        let (queued, stop) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        let (ending, ended) = std_mpsc::channel();
        let paused = Arc::new(AtomicBool::new(false));
        let (left, waits, resume) = (queued.clone(), paused.clone(), self.resume.clone());
        let partition = Partition {
            consumer: self.consumer.clone(),
            place,
        };
        let done = {
            let partition = partition.clone();
            move |next: i64| {
                partition.store(next);
                if waits.load(Ordering::SeqCst) && left.load(Ordering::SeqCst) < FEW {
                    // Nobody listens once the pump has ended.
                    let _ = resume.send(partition.place.clone());
                }
            }
        };
        let worker = Worker {
            shared: self.shared.clone(),
            together: self.together.clone(),
            items: received,
            queued: queued.clone(),
            stop: stop.clone(),
            done: Box::new(done),
            partition,
            noted: true,
            unreadable: None,
            next: None,
            position: Position::default(),
        };
        let task = self.runtime.spawn(async move {
            let _ending: std_mpsc::Sender<()> = ending;
            worker.run().await;
        });
        Hand {
            items,
            queued,
            paused,
            stop,
            ended,
            task: task.abort_handle(),
            reader: None,
        }
    }
}
