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

/// An event as a handler gets it.
#[derive(Clone, Debug)]
pub struct Delivery<E> {
    pub id: EventId,
    /// When the event was published, by the clock of its producer's database, if that is known.
    pub time: Option<DateTime<Utc>>,
    pub event: E,
}

/// A handler of events: any `async fn(&mut Tx, &State, Delivery<E>) -> Result<(), impl Classify>`.
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

/// A handler of any type of event, which it decodes itself.
type ErasedHandler<S> = Arc<
    dyn for<'t, 'c> Fn(&'t mut Tx<'c>, &'t S, &'t Message) -> BoxFuture<'t, Result<(), Failure>>
        + Send
        + Sync,
>;

/// Locks the rows that the keys of events name.
type LockByKey =
    for<'t, 'c> fn(&'t mut Tx<'c>, &'t [&'t str]) -> BoxFuture<'t, Result<(), DbError>>;

/// Locks the rows that events share with events of other keys.
type LockShared = Arc<
    dyn for<'t, 'c> Fn(&'t mut Tx<'c>, &'t [&'t Message]) -> BoxFuture<'t, Result<(), DbError>>
        + Send
        + Sync,
>;

/// The events that a service consumes, with a handler for each type.
pub struct Subscriptions<S> {
    group: &'static str,
    lock: Option<LockByKey>,
    lock_shared: Option<LockShared>,
    is_latency_tolerant: bool,
    topics: BTreeSet<&'static str>,
    routes: BTreeMap<&'static str, Route<S>>,
    /// The prefix of topics' names on the brokers.
    prefix: String,
}

/// The handler of a type of event, and the topic on which its producer publishes it, without a
/// prefix.
struct Route<S> {
    topic: &'static str,
    handler: ErasedHandler<S>,
}

#[derive(Debug, thiserror::Error)]
#[error("the payload is no {event_type}: {source}")]
struct UnreadablePayload {
    event_type: &'static str,
    source: serde_json::Error,
}

impl Classify for UnreadablePayload {
    fn class(&self) -> Class {
        Class::Malformed
    }
    fn code(&self) -> &'static str {
        "unreadable_event"
    }
}

impl<S> Subscriptions<S> {
    /// The consumer group, which is also the consumer's name in the inbox.
    pub fn name(&self) -> &'static str {
        self.group
    }
}

impl<S: Send + Sync + 'static> Subscriptions<S> {
    /// No subscriptions yet, for a consumer group. Its name is also the consumer's name in the
    /// inbox.
    pub fn group(group: &'static str) -> Self {
        Self {
            group,
            lock: None,
            lock_shared: None,
            is_latency_tolerant: false,
            topics: BTreeSet::new(),
            routes: BTreeMap::new(),
            prefix: String::new(),
        }
    }

    /// Sets the prefix of topics' names on the brokers.
    #[must_use]
    pub fn prefixed(self, prefix: impl Into<String>) -> Self {
        Self {
            prefix: prefix.into(),
            ..self
        }
    }

    /// Declares that handlers change the row `R` that an event's key names, if it names one. The
    /// inbox then locks the rows of all events that share a transaction in one statement.
    #[must_use]
    pub fn lock<R: LockedRow<Key: FromStr>>(self) -> Self {
        let lock: LockByKey = |tx, keys| {
            let keys = keys.iter().filter_map(|key| key.parse().ok());
            tx.lock_rows::<R>(keys).boxed()
        };
        Self {
            lock: Some(lock),
            ..self
        }
    }

    /// Declares the rows `R` that handlers change besides the one that an event's key names, such
    /// as accounts or shelves. The inbox locks those of all events that share a transaction in one
    /// statement, after all rows that keys name: in this order two transactions never wait for each
    /// other.
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

    /// Declares that no person waits for what the handlers do. Events may then wait a little
    /// (60 ms), so that more of them share a transaction.
    #[must_use]
    pub fn latency_tolerant(self) -> Self {
        Self {
            is_latency_tolerant: true,
            ..self
        }
    }

    pub(crate) fn is_latency_tolerant(&self) -> bool {
        self.is_latency_tolerant
    }

    /// Locks the rows that the handlers of these messages change.
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

    /// Adds the handler of the events `E`. A type of event has one handler.
    #[must_use]
    pub fn on<E: Event, H: Handler<S, E>>(mut self, handler: H) -> Self {
        let handler = Arc::new(handler);
        let erased: ErasedHandler<S> = Arc::new(move |tx, state, message| {
            let handler = handler.clone();
            Box::pin(async move {
                let event: E = serde_json::from_slice(&message.payload).map_err(|source| {
                    Failure::from(UnreadablePayload {
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

    /// Whether the inbox must process a message: its type has a handler, or it has no readable type
    /// and may be meant for this consumer.
    pub(crate) fn is_relevant(&self, message: &Message) -> bool {
        self.routes.contains_key(message.event_type.as_str()) || message.event_type == UNREADABLE
    }

    pub(crate) fn route(&self, event_type: &str) -> Option<&ErasedHandler<S>> {
        self.routes.get(event_type).map(|route| &route.handler)
    }

    /// Why a message is not from its type's producer; `None` if it is.
    ///
    /// A topic has its producer's name. A producer publishes a type of event on its topic only, and
    /// names itself in the last part of the source.
    pub(crate) fn foreign_reason(&self, message: &Message) -> Option<String> {
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
