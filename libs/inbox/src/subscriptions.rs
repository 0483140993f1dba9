use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
    sync::Arc,
};

use chrono::{DateTime, Utc};
use db::{DbError, LockedRow, Tx, WorkOn};
use futures_util::{FutureExt, TryFutureExt, future::BoxFuture};
use kernel::{Class, Classify, Event, EventId, shown};

use crate::{Failure, Message, message::UNREADABLE};

/// An event for a handler.
#[derive(Clone, Debug)]
pub struct Delivery<E> {
    pub id: EventId,
    /// When it was published, by the clock of its producer's database, if that is known.
    pub time: Option<DateTime<Utc>>,
    pub event: E,
}

/// Any `async fn(&mut Tx, &State, Delivery<E>) -> Result<(), impl Classify>`.
pub trait Handler<S, E>: Send + Sync + 'static {
    fn call<'t>(
        &'t self,
        tx: &'t mut Tx<'_>,
        state: &'t S,
        delivery: Delivery<E>,
    ) -> BoxFuture<'t, Result<(), Failure>>;
}

impl<F, S, E, Err> Handler<S, E> for F
where
    S: Sync + 'static,
    E: Event,
    Err: Classify,
    for<'t, 'c> F: WorkOn<&'t mut Tx<'c>, &'t S, Delivery<E>, Out = Result<(), Err>, Fut: Send>
        + Send
        + Sync
        + 'static,
{
    fn call<'t>(
        &'t self,
        tx: &'t mut Tx<'_>,
        state: &'t S,
        delivery: Delivery<E>,
    ) -> BoxFuture<'t, Result<(), Failure>> {
        Box::pin(self(tx, state, delivery).map_err(Failure::from))
    }
}

type Erased<S> = Arc<
    dyn for<'t, 'c> Fn(&'t mut Tx<'c>, &'t S, &'t Message) -> BoxFuture<'t, Result<(), Failure>>
        + Send
        + Sync,
>;

/// Locks the rows that events with these keys are about.
type Lock = for<'t, 'c> fn(&'t mut Tx<'c>, &'t [&'t str]) -> BoxFuture<'t, Result<(), DbError>>;

/// Locks the rows that events share with others.
type LockShared = Arc<
    dyn for<'t, 'c> Fn(&'t mut Tx<'c>, &'t [&'t Message]) -> BoxFuture<'t, Result<(), DbError>>
        + Send
        + Sync,
>;

/// What a service listens to, and who handles it.
pub struct Subscriptions<S> {
    group: &'static str,
    lock: Option<Lock>,
    lock_shared: Option<LockShared>,
    is_unhurried: bool,
    topics: BTreeSet<&'static str>,
    routes: BTreeMap<&'static str, Route<S>>,
    /// What stands before a topic's name on the brokers.
    prefix: String,
}

/// Who handles a type of event, and on which topic its producer publishes it, without a prefix.
struct Route<S> {
    topic: &'static str,
    handler: Erased<S>,
}

#[derive(Debug, thiserror::Error)]
#[error("the payload is no {event_type}: {source}")]
struct Unreadable {
    event_type: &'static str,
    source: serde_json::Error,
}

impl Classify for Unreadable {
    fn class(&self) -> Class {
        Class::Malformed
    }
    fn code(&self) -> &'static str {
        "unreadable_event"
    }
}

impl<S> Subscriptions<S> {
    /// Its consumer group.
    pub fn name(&self) -> &'static str {
        self.group
    }
}

impl<S: Send + Sync + 'static> Subscriptions<S> {
    /// The consumer group, which is also the consumer's name in the inbox.
    pub fn group(group: &'static str) -> Self {
        Self {
            group,
            lock: None,
            lock_shared: None,
            is_unhurried: false,
            topics: BTreeSet::new(),
            routes: BTreeMap::new(),
            prefix: String::new(),
        }
    }

    /// Says what stands before each topic's name on the brokers.
    #[must_use]
    pub fn prefixed(self, prefix: impl Into<String>) -> Self {
        Self {
            prefix: prefix.into(),
            ..self
        }
    }

    /// Says that handlers lock the row `R` that an event's key names, if it names one: those of all
    /// events that share a transaction are then locked at once.
    #[must_use]
    pub fn lock<R: LockedRow<Key: FromStr>>(self) -> Self {
        let lock: Lock = |tx, keys| {
            let keys = keys.iter().filter_map(|key| key.parse().ok());
            tx.lock_rows::<R>(keys).boxed()
        };
        Self {
            lock: Some(lock),
            ..self
        }
    }

    /// Says which rows `R` handlers lock beside the one that an event's key names, such as accounts
    /// or shelves: those of all events that share a transaction are locked at once, after all that
    /// are named by keys. So two transactions never wait for each other.
    #[must_use]
    pub fn then_lock<R: LockedRow>(self, keys: fn(&mut Tx<'_>, &Message) -> Vec<R::Key>) -> Self {
        let lock: LockShared = Arc::new(move |tx, messages| {
            let keys: Vec<R::Key> = messages
                .iter()
                .flat_map(|message| keys(tx, message))
                .collect();
            tx.lock_rows::<R>(keys).boxed()
        });
        Self {
            lock_shared: Some(lock),
            ..self
        }
    }

    /// Says that nobody waits for what the handlers do: events may then rest for a moment, and more
    /// of them share a transaction.
    #[must_use]
    pub fn unhurried(self) -> Self {
        Self {
            is_unhurried: true,
            ..self
        }
    }

    pub(crate) fn is_unhurried(&self) -> bool {
        self.is_unhurried
    }

    pub(crate) async fn lock_rows(
        &self,
        tx: &mut Tx<'_>,
        messages: &[&Message],
    ) -> Result<(), DbError> {
        if let Some(lock) = self.lock {
            let keys: Vec<&str> = messages.iter().map(|message| message.key.name()).collect();
            lock(tx, &keys).await?;
        }
        if let Some(lock) = &self.lock_shared {
            lock(tx, messages).await?;
        }
        Ok(())
    }

    /// Gives every `E` to `handler`.
    #[must_use]
    pub fn on<E: Event, H: Handler<S, E>>(mut self, handler: H) -> Self {
        let handler = Arc::new(handler);
        let erased: Erased<S> = Arc::new(move |tx, state, message| {
            let handler = handler.clone();
            Box::pin(async move {
                let event: E = serde_json::from_slice(&message.payload).map_err(|source| {
                    Failure::from(Unreadable {
                        event_type: E::TYPE,
                        source,
                    })
                })?;
                if let Some(order_id) = event.order() {
                    tracing::Span::current().record("order_id", tracing::field::display(order_id));
                }
                let delivery = Delivery {
                    id: message.id,
                    time: message.published_at(),
                    event,
                };
                handler.call(tx, state, delivery).await
            })
        });
        let route = Route {
            topic: E::TOPIC,
            handler: erased,
        };
        let before = self.routes.insert(E::TYPE, route);
        assert!(before.is_none(), "{} has two handlers", E::TYPE);
        self.topics.insert(E::TOPIC);
        self
    }

    /// The topics, without a prefix.
    pub fn topics(&self) -> Vec<&'static str> {
        self.topics.iter().copied().collect()
    }

    /// The types of the events that have a handler.
    pub fn event_types(&self) -> Vec<&'static str> {
        self.routes.keys().copied().collect()
    }

    /// Whether somebody here has to look at a message. One that does not say its type may be for
    /// anybody.
    pub(crate) fn concerns(&self, message: &Message) -> bool {
        self.routes.contains_key(message.event_type.as_str()) || message.event_type == UNREADABLE
    }

    pub(crate) fn route(&self, event_type: &str) -> Option<&Erased<S>> {
        self.routes.get(event_type).map(|route| &route.handler)
    }

    /// Why a message is not believed, if it is not: a type of event is its producer's, who
    /// publishes it on one topic and names itself in the last part of the source. A topic has its
    /// producer's name.
    pub(crate) fn foreign(&self, message: &Message) -> Option<String> {
        let producer = self.routes.get(message.event_type.as_str())?.topic;
        let Message { topic, source, .. } = message;
        if topic.strip_prefix(self.prefix.as_str()) != Some(producer) {
            return Some(format!(
                "it came on the topic {topic}, which is not that of {producer}"
            ));
        }
        let source = source.as_deref()?;
        (source.rsplit('/').next() != Some(producer)).then(|| {
            format!(
                "its source is {}, which is not {producer}",
                shown(source.as_bytes(), 100)
            )
        })
    }
}
