use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc as std_mpsc,
    },
    time::Duration,
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{Consumer, StreamConsumer},
};
use tokio::{
    runtime::Handle,
    sync::{Notify, mpsc},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Message,
    brokers::Brokers,
    hands::{Context, Hand, Hands, Place, commit, end},
    together::Together,
    worker::{Shared, Worker},
};

/// A partition with more bytes of messages in hand than this is paused.
const MANY: usize = 1 << 20;
/// And goes on with fewer than this.
const FEW: usize = MANY / 4;
/// For how long at most the pump waits for the answer that wakes the client: other partitions wait with it.
const WAKE: Duration = Duration::from_millis(20);

/// Takes messages from Kafka and gives each to its partition's worker. It runs on a thread of its own, because a
/// rebalance is served inside of it and must wait for workers.
pub(crate) struct Pump<S> {
    pub consumer: Arc<StreamConsumer<Context>>,
    pub hands: Hands,
    pub shared: Arc<Shared<S>>,
    pub together: Together,
    pub brokers: Arc<Brokers>,
    pub renew: Arc<Notify>,
    pub runtime: Handle,
}

/// Why a pump has ended.
pub(crate) enum Ended {
    Stopped,
    /// There must be a new client: this one has lost all brokers, or is to be replaced as if it had.
    Lost,
}

impl<S: Send + Sync + 'static> Pump<S> {
    pub async fn run(&self, stop: CancellationToken) -> Ended {
        let (resume, mut resumed) = mpsc::unbounded_channel::<Place>();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.brokers.are_lost() => return self.lost(),
                () = self.renew.notified() => return self.lost(),
                Some(place) = resumed.recv() => self.go_on(&place),
                received = self.consumer.recv() => match received {
                    Ok(message) => self.hand_over(Message::read(&message), &resume),
                    Err(error) => {
                        tracing::warn!(%error, "Kafka cannot be read at the moment");
                        tokio::time::sleep(Duration::from_millis(100)).await;
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
    fn lost(&self) -> Ended {
        end(self.hands.take_all());
        Ended::Lost
    }

    fn hand_over(&self, message: Message, resume: &mpsc::UnboundedSender<Place>) {
        let place = (message.topic.clone(), message.partition);
        let mut hands = self.hands.lock();
        let hand = hands
            .entry(place.clone())
            .or_insert_with(|| self.new_worker(place.clone(), resume.clone()));
        let weight = message.weight();
        let queued = hand.queued.fetch_add(weight, Ordering::SeqCst) + weight;
        // A worker that has ended was stopped, and its partition is being given up: the next owner gets the message.
        let _ = hand.messages.send(message);
        if queued > MANY && !hand.paused.swap(true, Ordering::SeqCst) {
            if let Err(error) = self.consumer.pause(&list(&place)) {
                tracing::warn!(%error, topic = place.0, partition = place.1, "partition not paused");
            }
            // The worker may have drained it before it could see that it is paused, and will then never ask for more.
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
            if let Err(error) = self.consumer.resume(&list(place)) {
                tracing::warn!(%error, topic = place.0, partition = place.1, "partition not resumed");
            }
            hand.paused.store(false, Ordering::SeqCst);
            // The client's thread would look at the partition again when something wakes it, within a second. A request to the
            // partition's broker does; what it answers is not needed.
            let _ = self.consumer.fetch_watermarks(&place.0, place.1, WAKE);
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
                .add_partition_offset(&place.0, place.1, Offset::Offset(next))
                .and_then(|()| consumer.store_offsets(&offsets));
            // The partition was taken away meanwhile: its next owner meets these events again and knows them.
            if let Err(error) = stored {
                tracing::debug!(%error, topic = place.0, partition = place.1, "offset not stored");
            }
            if waits.load(Ordering::SeqCst) && left.load(Ordering::SeqCst) < FEW {
                // Nobody listens once the pump has ended.
                let _ = resume.send(place.clone());
            }
        };
        let worker = Worker {
            shared: self.shared.clone(),
            together: self.together.clone(),
            messages: received,
            queued: queued.clone(),
            stop: stop.clone(),
            done: Box::new(done),
            noted: true,
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
