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
    batcher::BatchClient,
    brokers::Brokers,
    kafka_context::{AssignedQueues, KafkaContext, commit},
    offsets::PartitionOffsets,
    partitions::{WorkItem, WorkerHandle, Workers},
    shared::Shared,
    topic_partition::TopicPartition,
    worker::{UnsavedPosition, Worker},
};

/// A partition is paused when more bytes of its messages than this wait for its worker. It bounds
/// the memory of a consumer, and is far more than a worker takes at a time.
const PAUSE_ABOVE_BYTES: usize = 1 << 20;
/// A paused partition goes on when fewer bytes than this are left.
const RESUME_BELOW_BYTES: usize = PAUSE_ABOVE_BYTES / 4;
/// How long the dispatcher waits for the answer to the request that wakes the client. It is short:
/// all partitions wait meanwhile.
const WAKE_TIMEOUT: Duration = Duration::from_millis(20);
/// A partition that could not be read counts as readable after so long without another error. It is
/// longer than the longest default delay between two attempts.
const READABLE_AFTER: Duration = Duration::from_secs(15);

/// Takes messages from Kafka and gives each to the worker of its partition.
///
/// It runs on a thread of its own: the client serves a rebalance inside of a call of it, and blocks
/// the thread until the workers have stopped.
pub(crate) struct Dispatcher<S> {
    pub consumer: Arc<StreamConsumer<KafkaContext>>,
    pub workers: Workers,
    pub assigned: Arc<AssignedQueues>,
    pub shared: Arc<Shared<S>>,
    pub batches: BatchClient,
    pub brokers: Arc<Brokers>,
    /// Notified when the client is to be replaced.
    pub renew: Arc<Notify>,
    /// The runtime on which workers run.
    pub runtime: Handle,
    /// Takes the partition of a worker that has few messages left.
    pub drained: mpsc::UnboundedSender<TopicPartition>,
    /// Notified when the client may have failed for good.
    pub failed: Notify,
}

/// Why a dispatcher has ended.
pub(crate) enum Ended {
    Stopped,
    /// The client must be replaced: it has lost all brokers, or a caller asked for a new one.
    Lost,
    /// The client must be replaced: it met an error after which it does nothing any more, such as
    /// that another process uses its name.
    Failed(String),
}

impl<S: Send + Sync + 'static> Dispatcher<S> {
    /// Works until stopped, or until the client must be replaced. `drained` are the partitions
    /// whose workers have few messages left.
    pub async fn run(
        self: &Arc<Self>,
        mut drained: mpsc::UnboundedReceiver<TopicPartition>,
        stop: CancellationToken,
    ) -> Ended {
        // The tasks that read the partitions are on this thread as well: they get nothing while
        // the client serves a rebalance.
        let readers = LocalSet::new();
        readers
            .run_until(self.dispatch_all(&mut drained, stop))
            .await
    }

    async fn dispatch_all(
        self: &Arc<Self>,
        drained: &mut mpsc::UnboundedReceiver<TopicPartition>,
        stop: CancellationToken,
    ) -> Ended {
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.brokers.lost() => return self.end_without_commit(Ended::Lost),
                () = self.renew.notified() => return self.end_without_commit(Ended::Lost),
                () = self.failed.notified() => {
                    if let Some((code, reason)) = self.consumer.client().fatal_error() {
                        return self.end_without_commit(Ended::Failed(format!("{code}: {reason}")));
                    }
                }
                queues = self.assigned.take() => for (partition, queue) in queues {
                    self.start_partition(partition, queue);
                },
                Some(partition) = drained.recv() => {
                    if let Some(worker) = self.workers.lock().get(&partition) {
                        self.resume_if_drained(&partition, worker);
                    }
                }
                received = self.consumer.recv() => match received {
                    // Its partition has no queue of its own.
                    Ok(message) => self.dispatch(Message::read(&message)),
                    Err(error) => {
                        let cause = self.consumer.context().describe(&error);
                        tracing::warn!(cause, "Kafka cannot be read at the moment");
                        self.failed.notify_one();
                    }
                },
            }
        }
        self.workers.stop_every();
        commit(&*self.consumer);
        self.consumer.unsubscribe();
        Ended::Stopped
    }

    /// Stops the workers. No broker would take the offsets.
    fn end_without_commit(&self, ended: Ended) -> Ended {
        self.workers.stop_every();
        ended
    }

    /// Starts the worker and the reader of a partition that was assigned.
    fn start_partition(
        self: &Arc<Self>,
        partition: TopicPartition,
        queue: StreamPartitionQueue<KafkaContext>,
    ) {
        let mut worker = self.start_worker(partition.clone());
        let dispatcher = self.clone();
        let reader = spawn_local(dispatcher.read(partition.clone(), queue));
        worker.reader = Some(reader.abort_handle());
        self.workers.lock().insert(partition, worker);
    }

    /// Reads a partition's queue until it is aborted.
    async fn read(
        self: Arc<Self>,
        partition: TopicPartition,
        queue: StreamPartitionQueue<KafkaContext>,
    ) {
        let mut attempts = 0;
        loop {
            let received = if attempts == 0 {
                Ok(queue.recv().await)
            } else {
                tokio::time::timeout(READABLE_AFTER, queue.recv()).await
            };
            match received {
                Ok(Ok(message)) => {
                    attempts = 0;
                    self.dispatch(Message::read(&message));
                }
                Ok(Err(error)) => {
                    attempts += 1;
                    self.wait_until_readable(&partition, &error, attempts).await;
                }
                Err(_) => {
                    attempts = 0;
                    self.send(&partition, WorkItem::Readable);
                }
            }
        }
    }

    /// Has the client read again, from behind the last message that was dispatched, after a delay.
    ///
    /// The messages behind the error that the client has already must not be dispatched, or the
    /// unreadable one would be skipped: the pause throws them away.
    async fn wait_until_readable(
        &self,
        partition: &TopicPartition,
        error: &KafkaError,
        attempts: i32,
    ) {
        let cause = self.consumer.context().describe(error);
        self.pause(partition);
        self.failed.notify_one();
        self.send(partition, WorkItem::Unreadable { attempts, cause });
        tokio::time::sleep(self.shared.settings.retry_delay(attempts)).await;
        self.resume(partition);
    }

    fn send(&self, partition: &TopicPartition, item: WorkItem) {
        if let Some(worker) = self.workers.lock().get(partition) {
            // A worker that has ended was stopped: its partition is being revoked.
            let _ = worker.items.send(item);
        }
    }

    /// Gives a message to its partition's worker, and pauses the partition if it has too many.
    fn dispatch(self: &Arc<Self>, message: Message) {
        let partition = TopicPartition::new(message.topic.as_str(), message.partition);
        let mut workers = self.workers.lock();
        let worker = workers
            .entry(partition.clone())
            .or_insert_with(|| self.start_worker(partition.clone()));
        let bytes = message.memory_bytes();
        let queued_bytes = worker.queued_bytes.fetch_add(bytes, Ordering::SeqCst) + bytes;
        // A worker that has ended was stopped: its partition is being revoked, and the next owner
        // gets the message.
        let _ = worker.items.send(WorkItem::Message(message));
        if queued_bytes > PAUSE_ABOVE_BYTES && !worker.paused.swap(true, Ordering::SeqCst) {
            self.pause(&partition);
            // The worker may have taken everything before it could see that the partition is
            // paused, and will then never ask for more.
            self.resume_if_drained(&partition, worker);
        }
    }

    fn resume_if_drained(&self, partition: &TopicPartition, worker: &WorkerHandle) {
        if worker.paused.load(Ordering::SeqCst)
            && worker.queued_bytes.load(Ordering::SeqCst) < RESUME_BELOW_BYTES
        {
            self.resume(partition);
            worker.paused.store(false, Ordering::SeqCst);
        }
    }

    fn pause(&self, partition: &TopicPartition) {
        if let Err(error) = self.consumer.pause(&partition.to_list()) {
            let TopicPartition { topic, partition } = partition;
            tracing::warn!(%error, topic, partition, "partition not paused");
        }
    }

    fn resume(&self, partition: &TopicPartition) {
        let list = partition.to_list();
        let TopicPartition { topic, partition } = partition;
        if let Err(error) = self.consumer.resume(&list) {
            tracing::warn!(%error, topic, partition, "partition not resumed");
        }
        // The client's thread would look at the partition within a second. A request to the
        // partition's broker wakes it at once; the answer is not needed.
        let _ = self
            .consumer
            .fetch_watermarks(topic, *partition, WAKE_TIMEOUT);
    }

    fn start_worker(&self, topic_partition: TopicPartition) -> WorkerHandle {
        let (items, received) = mpsc::unbounded_channel();
        let (queued_bytes, stop) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        let (ending, ended) = std_mpsc::channel();
        let paused = Arc::new(AtomicBool::new(false));
        let offsets = PartitionOffsets {
            consumer: self.consumer.clone(),
            topic_partition,
        };
        let on_done = {
            let (queued_bytes, paused) = (queued_bytes.clone(), paused.clone());
            let (offsets, drained) = (offsets.clone(), self.drained.clone());
            move |next: i64| {
                offsets.store(next);
                if paused.load(Ordering::SeqCst)
                    && queued_bytes.load(Ordering::SeqCst) < RESUME_BELOW_BYTES
                {
                    // Fails once the dispatcher has ended, and is then of no use.
                    let _ = drained.send(offsets.topic_partition.clone());
                }
            }
        };
        let worker = Worker {
            shared: self.shared.clone(),
            batches: self.batches.clone(),
            items: received,
            queued_bytes: queued_bytes.clone(),
            stop: stop.clone(),
            on_done: Box::new(on_done),
            offsets,
            may_be_recorded_as_blocked: true,
            unreadable: None,
            next: None,
            position: UnsavedPosition::default(),
        };
        let task = self.runtime.spawn(async move {
            let _ending: std_mpsc::Sender<()> = ending;
            worker.run().await;
        });
        WorkerHandle {
            items,
            queued_bytes,
            paused,
            stop,
            ended,
            task: task.abort_handle(),
            reader: None,
        }
    }
}
