use std::{sync::Arc, thread::JoinHandle, time::Duration};

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
    sync::{Notify, Semaphore},
};
use tokio_util::sync::CancellationToken;

use crate::{
    InboxSettings, Metrics, Subscriptions,
    brokers::Brokers,
    hands::{Context, Hands},
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

/// Joins the group and hands events to their handlers until stopped. Workers run on the runtime that calls this.
pub async fn start<S: Clone + Send + Sync + 'static>(
    subscriptions: Subscriptions<S>,
    state: S,
    db: Db,
    kafka: &KafkaSettings,
    settings: &InboxSettings,
    metrics: Metrics,
) -> Result<Running, StartError> {
    metrics.expect(&subscriptions.topics(), &subscriptions.event_types());
    let group = kafka.topic(subscriptions.name());
    let topics = subscriptions.topics().into_iter().map(|topic| kafka.topic(topic));
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

impl Member {
    /// A new client, which joins the group.
    fn join<S: Send + Sync + 'static>(
        &self,
        shared: &Arc<Shared<S>>,
        together: &Together,
    ) -> Result<Pump<S>, KafkaError> {
        let (hands, brokers) = (Hands::default(), Arc::<Brokers>::default());
        let context = Context {
            hands: hands.clone(),
            brokers: brokers.clone(),
            metrics: shared.metrics.clone(),
            prefix: self.prefix.clone(),
        };
        let consumer: StreamConsumer<Context> =
            StreamConsumer::from_config_and_context(&self.config, context)?;
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics)?;
        Ok(Pump {
            consumer: Arc::new(consumer),
            hands,
            shared: shared.clone(),
            together: together.clone(),
            brokers,
            renew: self.renew.clone(),
            runtime: Handle::current(),
        })
    }

    /// Takes messages until stopped, with one client after the other if need be.
    async fn pump<S: Send + Sync + 'static>(
        self,
        first: Pump<S>,
        shared: &Arc<Shared<S>>,
        together: &Together,
        stop: CancellationToken,
    ) {
        let mut pump = Some(first);
        loop {
            if let Some(pump) = pump.take() {
                match pump.run(stop.clone()).await {
                    Ended::Stopped => return,
                    Ended::Lost => tracing::warn!(
                        "Kafka's client has lost all brokers; a new one begins from the stored offsets"
                    ),
                }
                // It may wait for a broker before it ends.
                std::thread::spawn(move || drop(pump));
            }
            match self.join(shared, together) {
                Ok(next) => pump = Some(next),
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

fn client_config(kafka: &KafkaSettings, settings: &InboxSettings, group: &str) -> ClientConfig {
    let mut config = kafka.client_config(group);
    config
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
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
        // When so many wait here already, it asks again a moment later, not the second that is the default: a backlog would be
        // worked off at a queue a second.
        .set("fetch.queue.backoff.ms", "10")
        .set("queued.min.messages", "1000")
        .set("queued.max.messages.kbytes", "4096");
    if let Some(instance) = &settings.inbox_instance {
        config.set("group.instance.id", format!("{group}-{instance}"));
    }
    config
}
