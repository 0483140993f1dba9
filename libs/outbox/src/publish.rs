use db::{Db, DbError, Tx, cached, lock_class};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{Array, Bool, Integer, Nullable, Text, Uuid},
};
use diesel_async::RunQueryDsl;
use kernel::{Class, Classify, Event, EventId, TraceParent};
use telemetry::traces::{Kind, Span};

use crate::MAX_PAYLOAD;

/// Why an event was not written. The transaction should be rolled back: the change must not be without its event.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error("event {event_type} goes to topic {topic}, which this service did not declare")]
    UnknownTopic {
        event_type: &'static str,
        topic: &'static str,
    },
    #[error("event {event_type} has {bytes} bytes; Kafka takes {MAX_PAYLOAD}")]
    TooLarge { event_type: &'static str, bytes: usize },
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
            Self::UnknownTopic { .. } | Self::TooLarge { .. } | Self::Json { .. } => Class::Bug,
            Self::Db(error) => error.class(),
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::UnknownTopic { .. } | Self::TooLarge { .. } | Self::Json { .. } => "internal_error",
            Self::Db(error) => error.code(),
        }
    }
}

#[derive(QueryableByName)]
struct Written {
    #[diesel(sql_type = Bool)]
    written: bool,
}

/// Puts `event` into the outbox of this transaction's database. It is sent if and only if the transaction
/// commits, after every earlier event of its key.
pub async fn publish<E: Event>(tx: &mut Tx<'_>, event: &E) -> Result<EventId, PublishError> {
    let event_type = E::TYPE;
    let payload = serde_json::to_string(event).map_err(|source| PublishError::Json { event_type, source })?;
    if payload.len() > MAX_PAYLOAD {
        return Err(PublishError::TooLarge {
            event_type,
            bytes: payload.len(),
        });
    }
    let id = EventId::now_v7();
    let parent = TraceParent::current();
    let trace = parent.map(TraceParent::child);
    let span = trace.map_or(Span::none(), |trace| {
        Span::begin(tx.application(), Kind::Producer, trace, parent, || {
            format!("create {event_type}")
        })
    });
    let query = sql_query("SELECT outbox_publish($1, $2, $3, $4, $5, $6, $7, $8) AS written")
        .bind::<Uuid, _>(id)
        .bind::<Text, _>(E::TOPIC)
        .bind::<Text, _>(event.key())
        .bind::<Text, _>(event_type)
        .bind::<Text, _>(payload)
        .bind::<Nullable<Text>, _>(trace.map(|trace| trace.to_string()))
        .bind::<Integer, _>(lock_class::OUTBOX_SLEEP)
        .bind::<Integer, _>(lock_class::OUTBOX_KEY);
    let row: Written = cached(query).get_result(&mut **tx).await.map_err(DbError::from)?;
    if row.written {
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
    } else {
        Err(PublishError::UnknownTopic {
            event_type,
            topic: E::TOPIC,
        })
    }
}

/// Says which topics this service publishes to. Called at every start.
pub async fn declare_topics(db: &Db, topics: &[&str]) -> Result<(), DbError> {
    let topics: Vec<String> = topics.iter().map(|&topic| topic.to_owned()).collect();
    db.transaction("outbox.declare_topics", async move |tx| -> Result<(), DbError> {
        sql_query("INSERT INTO outbox_topics SELECT unnest($1) ON CONFLICT DO NOTHING")
            .bind::<Array<Text>, _>(topics)
            .execute(&mut **tx)
            .await?;
        Ok(())
    })
    .await
}
