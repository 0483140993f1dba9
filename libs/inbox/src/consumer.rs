use std::{
    sync::{Arc, Mutex, OnceLock},
    thread::JoinHandle,
    time::Duration,
};

use connect::KafkaSettings;
use db::Db;
use kernel::Clock;
use rdkafka::{
    ClientConfig,
    config::FromClientConfigAndContext,
    consumer::{Consumer, StreamConsumer},
    error::KafkaError,
};
use tokio::{
    runtime::Handle,
    sync::{Notify, Semaphore, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    InboxSettings, Metrics, Subscriptions,
    batcher::{BatchClient, batcher},
    brokers::Brokers,
    dispatcher::{Dispatcher, Ended},
    kafka_context::{AssignedQueues, KafkaContext},
    partitions::Workers,
    purge, replay,
    shared::Shared,
    topic_partition::TopicPartition,
};

/// The wait before a new Kafka client, after the first failure of one. It doubles with each further
/// failure in a row.
const CLIENT_DELAY_MIN: Duration = Duration::from_secs(1);
/// Bounds the wait before a new client. With it two processes of one name, each of which ends the
/// other's client, do not keep the brokers busy.
const CLIENT_DELAY_MAX: Duration = Duration::from_secs(30);
/// A client that has worked for so long before its failure ends a row of failures.
const CLIENT_HEALTHY_AFTER: Duration = Duration::from_secs(120);

/// Why a consumer does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the Kafka consumer cannot be made")]
    Kafka(#[from] KafkaError),
    #[error("the consumer's thread cannot be made")]
    Thread(#[source] std::io::Error),
    #[error(
        "INBOX_PARKED_DAYS={parked} is less than INBOX_DAYS={days}: a discarded event would be \
         forgotten while Kafka may still deliver it again; set it to {days} or more"
    )]
    Days { days: u16, parked: u16 },
}

/// A consumer that was started. It stops when this is dropped.
pub struct Running {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
    tasks: CancellationToken,
    renew: Arc<Notify>,
}

impl Running {
    /// Replaces the Kafka client, as the consumer does itself when the client has lost all brokers.
    pub fn renew(&self) {
        self.renew.notify_one();
    }

    /// Finishes the events that handlers are working on, commits the offsets, and leaves the group.
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

/// Starts a consumer: joins the group and applies events until it is stopped. Workers run on the
/// runtime that calls this.
pub async fn start<S: Clone + Send + Sync + 'static>(
    subscriptions: Subscriptions<S>,
    state: S,
    db: Db,
    kafka: &KafkaSettings,
    settings: &InboxSettings,
    metrics: Metrics,
) -> Result<Running, StartError> {
    if settings.inbox_parked_days < settings.inbox_days {
        return Err(StartError::Days {
            days: settings.inbox_days,
            parked: settings.inbox_parked_days,
        });
    }
    let subscriptions = subscriptions.prefixed(&kafka.kafka_prefix);
    metrics.create_labels(&subscriptions.topics(), &subscriptions.event_types());
    let group = kafka.topic(subscriptions.name());
    let topics = subscriptions
        .topics()
        .into_iter()
        .map(|topic| kafka.topic(topic));
    let member = GroupMember {
        topics: topics.collect(),
        config: client_config(kafka, settings, &group),
        prefix: kafka.kafka_prefix.clone(),
        renew: Arc::default(),
    };
    let shared = Arc::new(Shared {
        subscriptions,
        state,
        db,
        permits: Semaphore::new(usize::from(settings.inbox_concurrency)),
        settings: settings.clone(),
        metrics,
        clock: Clock::system(),
    });
    let (stop, tasks) = (CancellationToken::new(), CancellationToken::new());
    let (client, batcher) = batcher();
    spawn_until(&tasks, replay::run(shared.clone()));
    spawn_until(&tasks, purge::run(shared.clone()));
    spawn_until(&tasks, batcher.run(shared.clone()));
    let renew = member.renew.clone();
    let first = member.join(&shared, &client)?;
    let stopped = stop.clone();
    let runtime = Handle::current();
    let thread = std::thread::Builder::new()
        .name("inbox".to_owned())
        .spawn(move || runtime.block_on(member.run(first, &shared, &client, stopped)))
        .map_err(StartError::Thread)?;
    Ok(Running {
        stop,
        thread: Some(thread),
        tasks,
        renew,
    })
}

/// Runs a task until `cancelled`.
fn spawn_until(cancelled: &CancellationToken, task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(cancelled.clone().run_until_cancelled_owned(task));
}

/// A member of the consumer group. It has one Kafka client after the other.
struct GroupMember {
    topics: Vec<String>,
    config: ClientConfig,
    prefix: String,
    renew: Arc<Notify>,
}

/// The dispatcher of a client that has joined the group, and the partitions whose workers have few
/// messages left.
type Joined<S> = (Arc<Dispatcher<S>>, mpsc::UnboundedReceiver<TopicPartition>);

impl GroupMember {
    /// Joins the group with a new client.
    fn join<S: Send + Sync + 'static>(
        &self,
        shared: &Arc<Shared<S>>,
        batches: &BatchClient,
    ) -> Result<Joined<S>, KafkaError> {
        let workers = Workers::default();
        let assigned = Arc::<AssignedQueues>::default();
        let brokers = Arc::<Brokers>::default();
        let context = KafkaContext {
            workers: workers.clone(),
            assigned: assigned.clone(),
            consumer: OnceLock::new(),
            last_error: Mutex::default(),
            brokers: brokers.clone(),
            metrics: shared.metrics.clone(),
            prefix: self.prefix.clone(),
        };
        let consumer: StreamConsumer<KafkaContext> =
            StreamConsumer::from_config_and_context(&self.config, context)?;
        let consumer = Arc::new(consumer);
        consumer.context().set_consumer(&consumer);
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics)?;
        let (drained, drained_partitions) = mpsc::unbounded_channel();
        let dispatcher = Dispatcher {
            consumer,
            workers,
            assigned,
            shared: shared.clone(),
            batches: batches.clone(),
            brokers,
            renew: self.renew.clone(),
            runtime: Handle::current(),
            drained,
            failed: Notify::new(),
        };
        Ok((Arc::new(dispatcher), drained_partitions))
    }

    /// Works until stopped. When a client fails, a new one takes its place.
    async fn run<S: Send + Sync + 'static>(
        self,
        first: Joined<S>,
        shared: &Arc<Shared<S>>,
        batches: &BatchClient,
        stop: CancellationToken,
    ) {
        let mut joined = Some(first);
        let mut failures = 0;
        loop {
            let mut delay = Duration::ZERO;
            if let Some((dispatcher, drained)) = joined.take() {
                let began = Instant::now();
                match dispatcher.run(drained, stop.clone()).await {
                    Ended::Stopped => return,
                    Ended::Lost => tracing::warn!(
                        "Kafka's client has lost all brokers; a new one begins from the stored \
                         offsets"
                    ),
                    Ended::Failed(reason) => {
                        failures = if began.elapsed() > CLIENT_HEALTHY_AFTER {
                            1
                        } else {
                            failures + 1
                        };
                        delay = client_delay(failures);
                        tracing::error!(
                            reason,
                            pause_seconds = delay.as_secs(),
                            "Kafka's client has failed for good; a new one begins from the stored \
                             offsets"
                        );
                    }
                }
                // Dropping the client may wait for a broker.
                std::thread::spawn(move || drop(dispatcher));
            }
            if stop
                .run_until_cancelled(tokio::time::sleep(delay))
                .await
                .is_none()
            {
                return;
            }
            match self.join(shared, batches) {
                Ok(next) => joined = Some(next),
                Err(error) => {
                    tracing::warn!(%error, "no Kafka client can be made at the moment");
                    let delay = tokio::time::sleep(CLIENT_DELAY_MIN);
                    if stop.run_until_cancelled(delay).await.is_none() {
                        return;
                    }
                }
            }
        }
    }
}

/// The wait before a new client, after so many clients in a row that failed.
fn client_delay(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(10);
    (CLIENT_DELAY_MIN * 2_u32.pow(doublings)).min(CLIENT_DELAY_MAX)
}

fn client_config(kafka: &KafkaSettings, settings: &InboxSettings, group: &str) -> ClientConfig {
    let mut config = kafka.client_config(group);
    config
        .set("group.id", group)
        // Also when Kafka has deleted what was not read: the worker records that as a gap.
        .set("auto.offset.reset", "earliest")
        // A broker sends what is on its disk without checking it. The checksum of a batch costs
        // little beside its handlers.
        .set("check.crcs", "true")
        // What a producer's transaction has not committed has not happened.
        .set("isolation.level", "read_committed")
        // An offset is stored when its event is done, and committed a little later.
        .set("enable.auto.offset.store", "false")
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", "1000")
        // All partitions are revoked at each rebalance. That is short, and simple to get right.
        .set("partition.assignment.strategy", "range")
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "1500")
        .set("allow.auto.create.topics", "false")
        .set("topic.metadata.refresh.interval.ms", "10000")
        // How long the broker waits when it has no message; otherwise it answers at once.
        .set("fetch.wait.max.ms", "500")
        .set("fetch.error.backoff.ms", "50")
        // The lag comes from the statistics.
        .set("statistics.interval.ms", "5000")
        // When the queue of a partition is full, the client asks again after 10 ms. With the
        // default, a second, a consumer works off one queue a second of a backlog.
        .set("fetch.queue.backoff.ms", "10")
        // The size of the queue of each partition.
        .set("queued.min.messages", "1000")
        .set("queued.max.messages.kbytes", "512");
    if let Some(instance) = &settings.inbox_instance {
        config.set("group.instance.id", format!("{group}-{instance}"));
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_clients_fail_in_a_row_the_longer_is_the_pause() {
        for (failures, seconds) in [(1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (u32::MAX, 30)] {
            assert_eq!(
                client_delay(failures),
                Duration::from_secs(seconds),
                "{failures} failures"
            );
        }
    }
}
