use std::{panic::AssertUnwindSafe, time::Duration};

use chrono::{DateTime, Utc};
use db::{Db, DbError, Tx, UnknownValue, cached, lock_class};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{Array, Integer, Text, Timestamptz, Uuid},
};
use diesel_async::RunQueryDsl;
use futures_util::FutureExt;
use kernel::TraceParent;
use telemetry::traces::{Kind, Span};
use tracing::Instrument;

use crate::{Failure, Message, Outcome, Retry, Subscriptions, parked};

/// The code of a parked message that did not come from the producer of its type.
pub(crate) const FOREIGN: &str = "foreign_event";

/// What `inbox_accept_all` answers to the claim of a message.
#[derive(Clone, Copy)]
enum Claim {
    /// It is this transaction's.
    New,
    /// It was applied before.
    Duplicate,
    /// It was parked before.
    Known,
    /// An earlier event of its key is parked.
    Behind,
}

impl Claim {
    fn from_text(text: &str) -> Result<Self, UnknownValue> {
        let known = match text {
            "new" => Some(Self::New),
            "duplicate" => Some(Self::Duplicate),
            "known" => Some(Self::Known),
            "behind" => Some(Self::Behind),
            _ => None,
        };
        UnknownValue::or(known, "the answer to the claim of an event", text)
    }
}

#[derive(QueryableByName)]
struct ClaimsRow {
    #[diesel(sql_type = Array<Text>)]
    claims: Vec<String>,
    #[diesel(sql_type = Timestamptz)]
    began_at: DateTime<Utc>,
}

/// Delivers one message: applies it unless it was applied before, and parks it if no retry can
/// help.
///
/// An error says that nothing has happened, and that the caller should deliver the same message
/// again later.
pub async fn deliver<S: Send + Sync + 'static>(
    db: &Db,
    subscriptions: &Subscriptions<S>,
    state: &S,
    message: &Message,
) -> Result<Outcome, Retry> {
    if !subscriptions.is_relevant(message) {
        return Ok(Outcome::Ignored);
    }
    if let Some(reason) = subscriptions.foreign_reason(message) {
        // Under the id in its header it would be taken for the event that it imitates.
        let reason = format!("{reason}; it calls itself {}", message.id);
        let message = message.with_id_of_position();
        return Ok(park(db, subscriptions.name(), &message, FOREIGN, &reason).await?);
    }
    let applied = db
        .transaction("inbox.apply", async |tx| {
            apply(tx, subscriptions, state, &[message]).await
        })
        .await;
    match applied {
        Ok(outcomes) => Ok(outcomes[0]),
        Err(Failure::Retry(retry)) => Err(retry),
        Err(Failure::Park { code, reason }) => {
            Ok(park(db, subscriptions.name(), message, code, &reason).await?)
        }
    }
}

/// Applies messages in one transaction, all of them or none. It fails if it has to wait for a lock
/// for longer than `lock_timeout`.
pub(crate) async fn apply_batch<S: Send + Sync + 'static>(
    db: &Db,
    subscriptions: &Subscriptions<S>,
    state: &S,
    messages: &[&Message],
    lock_timeout: Duration,
) -> Result<Vec<Outcome>, Failure> {
    db.transaction_with_lock_timeout("inbox.apply_together", lock_timeout, async |tx| {
        apply(tx, subscriptions, state, messages).await
    })
    .await
}

/// Parks a message, in a transaction of its own: that of its handler was rolled back.
///
/// A message that was applied meanwhile is not parked: after a rebalance the previous owner of a
/// partition may fail at an event that the next owner applies.
pub(crate) async fn park(
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
            let is_new = parked::insert(tx, consumer, message, code, reason).await?;
            release_claim(tx, consumer, message).await?;
            Ok(is_new)
        })
        .await?;
    if !is_new {
        return Ok(Outcome::Duplicate);
    }
    tracing::error!(
        event_id = %message.id,
        event_type = message.event_type,
        key = message.key.name(),
        code,
        reason,
        "event is parked"
    );
    Ok(Outcome::Parked)
}

/// Applies messages in `tx`: claims them, locks the rows that they change, and runs their handlers
/// in the messages' order.
async fn apply<S: Send + Sync + 'static>(
    tx: &mut Tx<'_>,
    subscriptions: &Subscriptions<S>,
    state: &S,
    messages: &[&Message],
) -> Result<Vec<Outcome>, Failure> {
    let relevant: Vec<&Message> = messages
        .iter()
        .filter(|message| subscriptions.is_relevant(message))
        .copied()
        .collect();
    if let Some(failure) = relevant
        .iter()
        .find_map(|message| invalid(subscriptions, message))
    {
        return Err(failure);
    }
    let claims = claim_all(tx, subscriptions.name(), &relevant).await?;
    let new: Vec<&Message> = relevant
        .iter()
        .zip(&claims)
        .filter(|(_, claim)| matches!(claim, Claim::New))
        .map(|(message, _)| *message)
        .collect();
    subscriptions.lock_rows(tx, &new).await?;
    let mut claims = claims.into_iter();
    let mut outcomes = Vec::with_capacity(messages.len());
    for message in messages {
        outcomes.push(if subscriptions.is_relevant(message) {
            let claim = claims.next().expect("each relevant message has a claim");
            match claim {
                Claim::New => handle(tx, subscriptions, state, message).await?,
                Claim::Duplicate | Claim::Known => Outcome::Duplicate,
                Claim::Behind => park_behind(tx, subscriptions.name(), message).await?,
            }
        } else {
            Outcome::Ignored
        });
    }
    Ok(outcomes)
}

/// Why a message must not be handled: it is no event, or not from its type's producer. `None` if it
/// may be.
fn invalid<S: Send + Sync + 'static>(
    subscriptions: &Subscriptions<S>,
    message: &Message,
) -> Option<Failure> {
    if let Some(reason) = message.unreadable {
        return Some(Failure::Park {
            code: "unreadable_event",
            reason: reason.to_owned(),
        });
    }
    let reason = subscriptions.foreign_reason(message)?;
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
    parked::insert(
        tx,
        consumer,
        message,
        "behind",
        "an earlier event of its key is parked",
    )
    .await?;
    tracing::warn!(
        event_id = %message.id,
        event_type = message.event_type,
        key = message.key.name(),
        "event is parked behind another"
    );
    Ok(Outcome::Parked)
}

/// Applies a message that was parked. It is not parked behind the earlier ones of its key: the
/// caller replays them in their order.
pub(crate) async fn apply_parked<S: Send + Sync + 'static>(
    tx: &mut Tx<'_>,
    subscriptions: &Subscriptions<S>,
    state: &S,
    message: &Message,
) -> Result<Outcome, Failure> {
    if !claim(tx, subscriptions.name(), message).await? {
        return Ok(Outcome::Duplicate);
    }
    // In the same order as for events that come from Kafka.
    subscriptions.lock_rows(tx, &[message]).await?;
    handle(tx, subscriptions, state, message).await
}

/// Claims a message for this transaction; `false` if it was applied before. Waits for another
/// transaction that has claimed it.
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
async fn release_claim(tx: &mut Tx<'_>, consumer: &str, message: &Message) -> Result<(), DbError> {
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
            reason: "this consumer has no handler for its type".to_owned(),
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
    // A panic that is not caught would end the worker, and the partition would wait without a
    // record of it. The error rolls back what the handler left half done.
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

/// Claims messages for this transaction, one after the other, in one round trip. Returns a claim
/// for each.
async fn claim_all(
    tx: &mut Tx<'_>,
    consumer: &str,
    messages: &[&Message],
) -> Result<Vec<Claim>, DbError> {
    let ids: Vec<_> = messages.iter().map(|message| message.id).collect();
    let types: Vec<_> = messages.iter().map(|message| &message.event_type).collect();
    let topics: Vec<_> = messages.iter().map(|message| &message.topic).collect();
    let keys: Vec<_> = messages.iter().map(|message| message.key.name()).collect();
    let query =
        sql_query("SELECT inbox_accept_all($1, $2, $3, $4, $5, $6) AS claims, now() AS began_at")
            .bind::<Text, _>(consumer)
            .bind::<Array<Uuid>, _>(ids)
            .bind::<Array<Text>, _>(types)
            .bind::<Array<Text>, _>(topics)
            .bind::<Array<Text>, _>(keys)
            .bind::<Integer, _>(lock_class::INBOX_KEY);
    let row: ClaimsRow = cached(query).get_result(&mut **tx).await?;
    tx.began_at(row.began_at);
    let claims = row.claims.iter().map(|text| Claim::from_text(text));
    Ok(claims.collect::<Result<_, _>>()?)
}
