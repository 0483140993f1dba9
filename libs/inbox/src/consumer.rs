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
    brokers::Brokers,
    hands::{Arrivals, Context, Hands, Place},
    pump::{Ended, Pump},
    purge, replay,
    together::{Together, together},
    worker::Shared,
};

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the Kafka consumer cannot be made")]
    Kafka(#[from] KafkaError),
    #[error("the consumer's thread cannot be made")]
    Thread(#[source] std::io::Error),
    #[error(
        "INBOX_PARKED_DAYS={parked} is less than INBOX_DAYS={days}: a discarded event would be forgotten while Kafka may still \
         deliver it again; set it to {days} or more"
    )]
    Days { days: u16, parked: u16 },
}

/// A consumer that was started.
pub struct Running {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
    tasks: CancellationToken,
    renew: Arc<Notify>,
}

impl Running {
    /// Goes on with a new client, as is done when the present one has lost all brokers.
    pub fn renew(&self) {
        self.renew.notify_one();
    }

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

/// Joins the group and hands events to their handlers until stopped. Workers run on the runtime
/// that calls this.
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
    metrics.expect(&subscriptions.topics(), &subscriptions.event_types());
    let group = kafka.topic(subscriptions.name());
    let topics = subscriptions
        .topics()
        .into_iter()
        .map(|topic| kafka.topic(topic));
    let member = Member {
        topics: topics.collect(),
        config: client_config(kafka, settings, &group),
        prefix: kafka.kafka_prefix.clone(),
        renew: Arc::default(),
    };
    let shared = Arc::new(Shared {
        subscriptions,
        state,
        db,
        room: Semaphore::new(usize::from(settings.inbox_concurrency)),
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
    let (together, carrier) = together();
    tokio::spawn(
        tasks
            .clone()
            .run_until_cancelled_owned(carrier.run(shared.clone())),
    );
    let renew = member.renew.clone();
    let first = member.join(&shared, &together)?;
    let stopped = stop.clone();
    let runtime = Handle::current();
    let thread = std::thread::Builder::new()
        .name("inbox".to_owned())
        .spawn(move || runtime.block_on(member.pump(first, &shared, &together, stopped)))
        .map_err(StartError::Thread)?;
    Ok(Running {
        stop,
        thread: Some(thread),
        tasks,
        renew,
    })
}

/// A member of the group, whatever client it has at the moment.
struct Member {
    topics: Vec<String>,
    config: ClientConfig,
    prefix: String,
    renew: Arc<Notify>,
}

const BEFORE_A_NEW_CLIENT: Duration = Duration::from_secs(1);
/// The longest pause before a new client.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A client that has worked for so long is none of a row of failures.
const LONG_LIFE: Duration = Duration::from_secs(120);

/// A client that has joined the group, and what its workers say to it.
type Joined<S> = (Arc<Pump<S>>, mpsc::UnboundedReceiver<Place>);

impl Member {
    /// A new client, which joins the group.
    fn join<S: Send + Sync + 'static>(
        &self,
        shared: &Arc<Shared<S>>,
        together: &Together,
    ) -> Result<Joined<S>, KafkaError> {
        let (hands, arrivals, brokers) = (
            Hands::default(),
            Arc::<Arrivals>::default(),
            Arc::<Brokers>::default(),
        );
        let context = Context {
            hands: hands.clone(),
            arrivals: arrivals.clone(),
            consumer: OnceLock::new(),
            said: Mutex::default(),
            brokers: brokers.clone(),
            metrics: shared.metrics.clone(),
            prefix: self.prefix.clone(),
        };
        let consumer: StreamConsumer<Context> =
            StreamConsumer::from_config_and_context(&self.config, context)?;
        let consumer = Arc::new(consumer);
        consumer.context().belong_to(&consumer);
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics)?;
        let (resume, resumed) = mpsc::unbounded_channel();
        let pump = Pump {
            consumer,
            hands,
            arrivals,
            shared: shared.clone(),
            together: together.clone(),
            brokers,
            renew: self.renew.clone(),
            runtime: Handle::current(),
            resume,
            failed: Notify::new(),
        };
        Ok((Arc::new(pump), resumed))
    }

    /// Takes messages until stopped, with one client after the other if need be.
    async fn pump<S: Send + Sync + 'static>(
        self,
        first: Joined<S>,
        shared: &Arc<Shared<S>>,
        together: &Together,
        stop: CancellationToken,
    ) {
        let mut joined = Some(first);
        let mut failures = 0;
        loop {
            let mut pause = Duration::ZERO;
            if let Some((pump, resumed)) = joined.take() {
                let began = Instant::now();
                match pump.run(resumed, stop.clone()).await {
                    Ended::Stopped => return,
                    Ended::Lost => tracing::warn!(
                        "Kafka's client has lost all brokers; a new one begins from the stored offsets"
                    ),
                    Ended::Failed(reason) => {
                        failures = if began.elapsed() > LONG_LIFE {
                            1
                        } else {
                            failures + 1
                        };
                        pause = pause_after(failures);
                        tracing::error!(
                            reason,
                            pause_seconds = pause.as_secs(),
                            "Kafka's client has failed for good; a new one begins from the stored offsets"
                        );
                    }
                }
                // It may wait for a broker before it ends.
                std::thread::spawn(move || drop(pump));
            }
            if stop
                .run_until_cancelled(tokio::time::sleep(pause))
                .await
                .is_none()
            {
                return;
            }
            match self.join(shared, together) {
                Ok(next) => joined = Some(next),
                Err(error) => {
                    tracing::warn!(%error, "no Kafka client can be made at the moment");
                    let pause = tokio::time::sleep(BEFORE_A_NEW_CLIENT);
                    if stop.run_until_cancelled(pause).await.is_none() {
                        return;
                    }
                }
            }
        }
    }
}

/// Before a new client, after so many in a row that failed: two processes of one name each end the
/// other's client.
fn pause_after(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(10);
    (BEFORE_A_NEW_CLIENT * 2_u32.pow(doublings)).min(LONGEST_PAUSE)
}

fn client_config(kafka: &KafkaSettings, settings: &InboxSettings, group: &str) -> ClientConfig {
    let mut config = kafka.client_config(group);
    config
        .set("group.id", group)
        // Also after a deletion of what was not read, which is noted as a gap.
        .set("auto.offset.reset", "earliest")
        // A broker hands on what lies on its disk without looking at it. The checksum of a batch
        // costs little beside its handlers.
        .set("check.crcs", "true")
        // What a transaction of another producer has not committed is nothing that happened.
        .set("isolation.level", "read_committed")
        // An offset is stored when its event is done, and committed a little later.
        .set("enable.auto.offset.store", "false")
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", "1000")
        // All partitions are given up at each rebalance: short, and the simplest that is right.
        .set("partition.assignment.strategy", "range")
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "1500")
        .set("allow.auto.create.topics", "false")
        .set("topic.metadata.refresh.interval.ms", "10000")
        // The broker answers at once when there is anything.
        .set("fetch.wait.max.ms", "500")
        .set("fetch.error.backoff.ms", "50")
        // For how far behind we are.
        .set("statistics.interval.ms", "5000")
        // When so many wait here already, it asks again a moment later, not the second that is the
        // default: a backlog would be worked off at a queue a second.
        .set("fetch.queue.backoff.ms", "10")
        // Of each partition, which has a queue of its own.
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
                pause_after(failures),
                Duration::from_secs(seconds),
                "{failures} failures"
            );
        }
    }
}
