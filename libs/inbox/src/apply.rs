use std::{panic::AssertUnwindSafe, time::Duration};

use chrono::{DateTime, Utc};
use db::{Db, DbError, Tx, cached, lock_class};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{Array, Integer, Text, Timestamptz, Uuid},
};
use diesel_async::RunQueryDsl;
use futures_util::FutureExt;
use kernel::TraceParent;
use telemetry::traces::{Kind, Span};
use tracing::Instrument;

use crate::{Failure, Message, Retry, Subscriptions, parked};

/// The code of a message that did not come from the service whose event it says it is.
pub(crate) const FOREIGN: &str = "foreign_event";

/// What became of a message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// Its handler's transaction committed.
    Applied,
    /// It was applied or parked before.
    Duplicate,
    /// Nobody here listens to its type.
    Ignored,
    /// It waits for an operator, by itself or behind an earlier event of its key.
    Parked,
}

#[derive(QueryableByName)]
struct Accepted {
    #[diesel(sql_type = Array<Text>)]
    accepted: Vec<String>,
    #[diesel(sql_type = Timestamptz)]
    began_at: DateTime<Utc>,
}

/// Delivers one message: applies it unless it was applied before, and puts it aside if no retry can
/// mend it.
///
/// An error says that nothing has happened, and that the same message should be tried again later.
pub async fn deliver<S: Send + Sync + 'static>(
    db: &Db,
    subscriptions: &Subscriptions<S>,
    state: &S,
    message: &Message,
) -> Result<Outcome, Retry> {
    if !subscriptions.concerns(message) {
        return Ok(Outcome::Ignored);
    }
    if let Some(reason) = subscriptions.foreign(message) {
        // Under the id that it says it has it would be taken for the event that it imitates.
        let reason = format!("{reason}; it calls itself {}", message.id);
        let message = message.called_after_its_place();
        return Ok(put_aside(db, subscriptions.name(), &message, FOREIGN, &reason).await?);
    }
    let alone = db
        .transaction("inbox.apply", async |tx| {
            apply(tx, subscriptions, state, &[message]).await
        })
        .await;
    match alone {
        Ok(outcomes) => Ok(outcomes[0]),
        Err(Failure::Retry(retry)) => Err(retry),
        Err(Failure::Park { code, reason }) => {
            Ok(put_aside(db, subscriptions.name(), message, code, &reason).await?)
        }
    }
}

/// Applies messages in one transaction, all or none; fails rather than wait longer than `patience`
/// for a lock.
pub(crate) async fn apply_together<S: Send + Sync + 'static>(
    db: &Db,
    subscriptions: &Subscriptions<S>,
    state: &S,
    messages: &[&Message],
    patience: Duration,
) -> Result<Vec<Outcome>, Failure> {
    db.impatient_transaction("inbox.apply_together", patience, async |tx| {
        apply(tx, subscriptions, state, messages).await
    })
    .await
}

/// Parks a message for a reason of its own, in a transaction of its own: the handler's was rolled
/// back. Unless it was applied meanwhile: who loses a partition may fail at an event that the next
/// owner applies.
pub(crate) async fn put_aside(
    db: &Db,
    consumer: &str,
    message: &Message,
    code: &str,
    reason: &str,
) -> Result<Outcome, DbError> {
    let is_new = db
        .transaction("inbox.park", async |tx| -> Result<bool, DbError> {
            if !claim(tx, consumer, message).await? {
                return Ok(false);
            }
            let is_new = parked::park(tx, consumer, message, code, reason).await?;
            give_back(tx, consumer, message).await?;
            Ok(is_new)
        })
        .await?;
    if !is_new {
        return Ok(Outcome::Duplicate);
    }
    tracing::error!(event_id = %message.id, event_type = message.event_type, key = message.key.name(), code, reason, "event is parked");
    Ok(Outcome::Parked)
}

/// Applies messages, with all that belongs to them, in `tx`.
async fn apply<S: Send + Sync + 'static>(
    tx: &mut Tx<'_>,
    subscriptions: &Subscriptions<S>,
    state: &S,
    messages: &[&Message],
) -> Result<Vec<Outcome>, Failure> {
    let concerning = messages
        .iter()
        .filter(|message| subscriptions.concerns(message));
    let concerning: Vec<&Message> = concerning.copied().collect();
    if let Some(refused) = concerning
        .iter()
        .find_map(|message| refused(subscriptions, message))
    {
        return Err(refused);
    }
    let accepted = accept(tx, subscriptions.name(), &concerning).await?;
    let new = concerning
        .iter()
        .zip(&accepted)
        .filter(|(_, answer)| *answer == "new");
    let new: Vec<&Message> = new.map(|(message, _)| *message).collect();
    subscriptions.lock_rows(tx, &new).await?;
    let mut accepted = accepted.into_iter();
    let mut outcomes = Vec::with_capacity(messages.len());
    for message in messages {
        outcomes.push(if subscriptions.concerns(message) {
            let accepted = accepted
                .next()
                .expect("there is an answer for each of them");
            match accepted.as_str() {
                "new" => handle(tx, subscriptions, state, message).await?,
                "duplicate" | "known" => Outcome::Duplicate,
                _ => park_behind(tx, subscriptions.name(), message).await?,
            }
        } else {
            Outcome::Ignored
        });
    }
    Ok(outcomes)
}

/// Why a message is no event that may be handled, if it is none.
fn refused<S: Send + Sync + 'static>(
    subscriptions: &Subscriptions<S>,
    message: &Message,
) -> Option<Failure> {
    if let Some(reason) = message.unreadable {
        return Some(Failure::Park {
            code: "unreadable_event",
            reason: reason.to_owned(),
        });
    }
    let reason = subscriptions.foreign(message)?;
    Some(Failure::Park {
        code: FOREIGN,
        reason,
    })
}

async fn park_behind(
    tx: &mut Tx<'_>,
    consumer: &str,
    message: &Message,
) -> Result<Outcome, DbError> {
    parked::park(
        tx,
        consumer,
        message,
        "behind",
        "an earlier event of its key is parked",
    )
    .await?;
    tracing::warn!(event_id = %message.id, event_type = message.event_type, key = message.key.name(), "event is parked behind another");
    Ok(Outcome::Parked)
}

/// Applies a message that was parked: it is in nobody's way but its own.
pub(crate) async fn apply_parked<S: Send + Sync + 'static>(
    tx: &mut Tx<'_>,
    subscriptions: &Subscriptions<S>,
    state: &S,
    message: &Message,
) -> Result<Outcome, Failure> {
    if !claim(tx, subscriptions.name(), message).await? {
        return Ok(Outcome::Duplicate);
    }
    // As of those that come from Kafka: the order's own row first.
    subscriptions.lock_rows(tx, &[message]).await?;
    handle(tx, subscriptions, state, message).await
}

/// Takes a message for this transaction; `false` if it was applied before. Another transaction that
/// takes it has its turn first.
async fn claim(tx: &mut Tx<'_>, consumer: &str, message: &Message) -> Result<bool, DbError> {
    let added = sql_query(
        "INSERT INTO inbox (consumer, event_id, type) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind::<Text, _>(consumer)
    .bind::<Uuid, _>(message.id)
    .bind::<Text, _>(&message.event_type)
    .execute(&mut **tx)
    .await?;
    Ok(added == 1)
}

/// Undoes [`claim`].
async fn give_back(tx: &mut Tx<'_>, consumer: &str, message: &Message) -> Result<(), DbError> {
    let removed = sql_query("DELETE FROM inbox WHERE consumer = $1 AND event_id = $2")
        .bind::<Text, _>(consumer)
        .bind::<Uuid, _>(message.id)
        .execute(&mut **tx)
        .await?;
    DbError::expect_rows("giving a claimed event back", 1, removed)
}

/// Runs the handler inside the event's trace.
async fn handle<S: Send + Sync + 'static>(
    tx: &mut Tx<'_>,
    subscriptions: &Subscriptions<S>,
    state: &S,
    message: &Message,
) -> Result<Outcome, Failure> {
    let Some(handler) = subscriptions.route(&message.event_type) else {
        return Err(Failure::Park {
            code: "unreadable_event",
            reason: "nobody handles its type".to_owned(),
        });
    };
    let trace = message
        .trace
        .map_or_else(TraceParent::root, TraceParent::child);
    let step = Span::begin(
        subscriptions.name(),
        Kind::Consumer,
        trace,
        message.trace,
        || format!("process {}", message.event_type),
    );
    let span = tracing::info_span!(
        "event",
        event_id = %message.id,
        event_type = message.event_type,
        key = message.key.name(),
        order_id = tracing::field::Empty,
        trace_id = trace.trace_id(),
    );
    let work = handler(tx, state, message).instrument(span.clone());
    let work = telemetry::traces::scope(trace, work);
    // Its error rolls back whatever it left half done. Uncaught it would end the worker, and the
    // partition would wait without anybody being told.
    let result = match AssertUnwindSafe(work).catch_unwind().await {
        Ok(result) => result.map(|()| Outcome::Applied),
        Err(panic) => Err(Failure::panicked(&*panic)),
    };
    let step = step
        .with("messaging.system", "kafka")
        .with("messaging.operation.type", "process")
        .with("messaging.destination.name", &message.topic)
        .with("messaging.destination.partition.id", message.partition)
        .with("messaging.kafka.offset", message.offset)
        .with("messaging.kafka.message.key", message.key.name())
        .with("messaging.message.id", message.id)
        .with("cloudevents.event_type", &message.event_type);
    match &result {
        Ok(_) => tx.when_committed(move || {
            span.in_scope(|| tracing::debug!("applied"));
            step.end();
        }),
        Err(failure) => step.fail(failure.cause()),
    }
    result
}

/// Claims messages for this transaction, one after the other and in one round trip; an answer for
/// each.
async fn accept(
    tx: &mut Tx<'_>,
    consumer: &str,
    messages: &[&Message],
) -> Result<Vec<String>, DbError> {
    let ids: Vec<_> = messages.iter().map(|message| message.id).collect();
    let types: Vec<_> = messages.iter().map(|message| &message.event_type).collect();
    let topics: Vec<_> = messages.iter().map(|message| &message.topic).collect();
    let keys: Vec<_> = messages.iter().map(|message| message.key.name()).collect();
    let query =
        sql_query("SELECT inbox_accept_all($1, $2, $3, $4, $5, $6) AS accepted, now() AS began_at")
            .bind::<Text, _>(consumer)
            .bind::<Array<Uuid>, _>(ids)
            .bind::<Array<Text>, _>(types)
            .bind::<Array<Text>, _>(topics)
            .bind::<Array<Text>, _>(keys)
            .bind::<Integer, _>(lock_class::INBOX_KEY);
    let answer: Accepted = cached(query).get_result(&mut **tx).await?;
    tx.began_at(answer.began_at);
    Ok(answer.accepted)
}
