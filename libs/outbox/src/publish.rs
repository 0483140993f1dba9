use db::{Db, DbError, DeferredWrite, Tx, cached, lock_class};
use diesel::{
    sql_query,
    sql_types::{Array, Integer, Nullable, Text, Uuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::{FutureExt, future::BoxFuture};
use kernel::{Class, Classify, Event, EventId, TraceParent};
use telemetry::traces::{Kind, Span};

use crate::MAX_PAYLOAD_BYTES;

/// Why an event was not published. The transaction must be rolled back, because the change must not
/// be stored without its event.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error("event {event_type} has {bytes} bytes; Kafka takes {MAX_PAYLOAD_BYTES}")]
    TooLarge {
        event_type: &'static str,
        bytes: usize,
    },
    #[error("event {event_type} cannot be written as JSON")]
    Json {
        event_type: &'static str,
        source: serde_json::Error,
    },
    #[error(transparent)]
    Db(#[from] DbError),
}

impl Classify for PublishError {
    fn class(&self) -> Class {
        match self {
            Self::TooLarge { .. } | Self::Json { .. } => Class::Bug,
            Self::Db(error) => error.class(),
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } | Self::Json { .. } => "internal_error",
            Self::Db(error) => error.code(),
        }
    }
}

/// The events of a transaction that are written when it commits; a column in each field.
#[derive(Default)]
struct DeferredEvents {
    ids: Vec<EventId>,
    topics: Vec<&'static str>,
    keys: Vec<String>,
    types: Vec<&'static str>,
    payloads: Vec<String>,
    headers: Vec<Option<String>>,
}

impl DeferredWrite for DeferredEvents {
    fn write(self: Box<Self>, conn: &mut AsyncPgConnection) -> BoxFuture<'_, Result<(), DbError>> {
        let query = sql_query("SELECT outbox_publish_all($1, $2, $3, $4, $5, $6, $7, $8)")
            .bind::<Array<Uuid>, _>(self.ids)
            .bind::<Array<Text>, _>(self.topics)
            .bind::<Array<Text>, _>(self.keys)
            .bind::<Array<Text>, _>(self.types)
            .bind::<Array<Text>, _>(self.payloads)
            .bind::<Array<Nullable<Text>>, _>(self.headers)
            .bind::<Integer, _>(lock_class::OUTBOX_SLEEP)
            .bind::<Integer, _>(lock_class::OUTBOX_KEY);
        async move {
            cached(query).execute(conn).await?;
            Ok(())
        }
        .boxed()
    }
}

/// Adds `event` to the events that this transaction writes into the outbox when it commits. The
/// relay sends it if and only if the transaction commits, after every earlier event of its key.
///
/// The commit writes all events of the transaction in one statement (see [`Tx::flush`]). It fails
/// if the service did not declare the topic of one of them.
pub fn publish<E: Event>(tx: &mut Tx<'_>, event: &E) -> Result<EventId, PublishError> {
    let event_type = E::TYPE;
    let payload =
        serde_json::to_string(event).map_err(|source| PublishError::Json { event_type, source })?;
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(PublishError::TooLarge {
            event_type,
            bytes: payload.len(),
        });
    }
    let id = EventId::now_v7();
    let parent = telemetry::traces::current();
    let trace = parent.map(TraceParent::child);
    let span = trace.map_or(Span::none(), |trace| {
        Span::begin(tx.application(), Kind::Producer, trace, parent, || {
            format!("create {event_type}")
        })
    });
    let deferred: &mut DeferredEvents = tx.deferred();
    deferred.ids.push(id);
    deferred.topics.push(E::TOPIC);
    deferred.keys.push(event.key());
    deferred.types.push(event_type);
    deferred.payloads.push(payload);
    deferred.headers.push(trace.map(|trace| trace.to_string()));
    if let Some(order_id) = event.order() {
        tracing::Span::current().record("order_id", tracing::field::display(order_id));
    }
    let span = span
        .with("messaging.system", "kafka")
        .with("messaging.operation.type", "create")
        .with("messaging.destination.name", E::TOPIC)
        .with("messaging.message.id", id)
        .with("messaging.kafka.message.key", event.key())
        .with("cloudevents.event_type", event_type);
    tx.when_committed(move || span.end());
    Ok(id)
}

/// Declares the topics that this service publishes to. The service calls it at every start.
pub async fn declare_topics(db: &Db, topics: &[&str]) -> Result<(), DbError> {
    let topics: Vec<String> = topics.iter().map(|&topic| topic.to_owned()).collect();
    db.transaction(
        "outbox.declare_topics",
        async move |tx| -> Result<(), DbError> {
            sql_query("INSERT INTO outbox_topics SELECT unnest($1) ON CONFLICT DO NOTHING")
                .bind::<Array<Text>, _>(topics)
                .execute(&mut **tx)
                .await?;
            Ok(())
        },
    )
    .await
}
