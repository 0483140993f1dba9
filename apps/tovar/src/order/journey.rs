//! The journey of an order's events: from the outbox of their producer to each subscribed inbox.

use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use serde::Serialize;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::services::{SERVICES, ServiceInfo, topic_of};

/// An event of the order, with its state in the outbox and in each subscribed inbox.
#[derive(Debug, Serialize)]
pub struct JourneyEvent {
    #[serde(rename = "event")]
    pub id: Uuid,
    #[serde(rename = "type")]
    pub event_type: String,
    pub producer: &'static str,
    pub published_at: DateTime<Utc>,
    pub outbox: EventState,
    /// The services that subscribe to its type.
    #[serde(rename = "readers")]
    pub subscribers: Vec<Subscriber>,
}

/// A service that subscribes to an event's type, and the state of the event in its inbox.
#[derive(Debug, Serialize)]
pub struct Subscriber {
    pub service: &'static str,
    pub inbox: EventState,
}

/// The state of an event in an outbox or an inbox.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum EventState {
    /// Sent, or applied.
    Done {
        at: Option<DateTime<Utc>>,
    },
    /// Not sent, or not read.
    Waits,
    /// The service tries it again, and its partition waits.
    Retried {
        since: DateTime<Utc>,
        attempts: i32,
        error: String,
    },
    /// The service tries another event of the topic again, whose partition may be its own.
    BehindRetried {
        event: Uuid,
        since: DateTime<Utc>,
    },
    Parked {
        since: DateTime<Utc>,
        reason: String,
    },
    Replay {
        since: DateTime<Utc>,
    },
    Discarded {
        since: DateTime<Utc>,
    },
}

const PUBLISHED: &str =
    "SELECT id, min(type), min(recorded_at), bool_and(pg_visible_in_snapshot(xid, acknowledged))
    FROM outbox, outbox_cursor WHERE key = $1 GROUP BY id";
const PARKED_IN_OUTBOX: &str =
    "SELECT id, type, recorded_at, state, changed_at, reason FROM outbox_parked WHERE key = $1";
/// $1: the consumer, $2: events.
pub const APPLIED: &str =
    "SELECT event_id, applied_at FROM inbox WHERE consumer = $1 AND event_id = ANY($2)";
const PARKED_IN_INBOX: &str =
    "SELECT event_id, type, parked_at, state, changed_at, code || ': ' || reason FROM inbox_parked
    WHERE consumer = $1 AND key = $2";
const RETRIED: &str =
    "SELECT event_id, type, topic, since, attempts, error FROM inbox_blocked b WHERE consumer = $1
    AND NOT EXISTS (SELECT FROM inbox i WHERE i.consumer = b.consumer AND i.event_id = b.event_id)";

/// Reads the events with `key`, in the order of their publication. `clients` are those of
/// [`SERVICES`].
pub async fn read(
    clients: &[Client],
    prefix: &str,
    key: &str,
) -> anyhow::Result<Vec<JourneyEvent>> {
    let published = SERVICES
        .into_iter()
        .zip(clients)
        .map(async |(service, client)| published(service, client, key).await);
    let mut events: Vec<JourneyEvent> = try_join_all(published)
        .await?
        .into_iter()
        .flatten()
        .collect();
    events.sort_by_key(|event| event.published_at);
    let ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
    for (service, client) in SERVICES.into_iter().zip(clients) {
        let inbox = Inbox::read(service, client, prefix, key, &ids).await?;
        for event in &mut events {
            if service.listens_to.contains(&event.event_type.as_str()) {
                event.subscribers.push(Subscriber {
                    service: service.name,
                    inbox: inbox.find(event),
                });
            }
        }
    }
    Ok(events)
}

async fn published(
    service: ServiceInfo,
    client: &Client,
    key: &str,
) -> anyhow::Result<Vec<JourneyEvent>> {
    let event = |row: &tokio_postgres::Row, outbox| JourneyEvent {
        id: row.get(0),
        event_type: row.get(1),
        producer: service.name,
        published_at: row.get(2),
        outbox,
        subscribers: Vec::new(),
    };
    let parked = client.query(PARKED_IN_OUTBOX, &[&key]).await?;
    let parked = parked
        .iter()
        .map(|row| event(row, parked_state(row.get(3), row.get(4), row.get(5))));
    let mut events: Vec<JourneyEvent> = parked.collect();
    for row in client.query(PUBLISHED, &[&key]).await? {
        let id: Uuid = row.get(0);
        if events.iter().all(|event| event.id != id) {
            let is_sent: bool = row.get(3);
            events.push(event(
                &row,
                if is_sent {
                    EventState::Done { at: None }
                } else {
                    EventState::Waits
                },
            ));
        }
    }
    Ok(events)
}

/// A state as the tables of parked events have it; their CHECKs allow no other.
fn parked_state(state: &str, since: DateTime<Utc>, reason: String) -> EventState {
    match state {
        "parked" => EventState::Parked { since, reason },
        "replay" => EventState::Replay { since },
        "discarded" => EventState::Discarded { since },
        _ => EventState::Done { at: Some(since) },
    }
}

/// What a service's inbox says about the order.
struct Inbox {
    known: Vec<(Uuid, EventState)>,
    /// Events that the service tries again, with their topics and since when.
    retried: Vec<(Uuid, String, DateTime<Utc>)>,
}

impl Inbox {
    async fn read(
        service: ServiceInfo,
        client: &Client,
        prefix: &str,
        key: &str,
        ids: &[Uuid],
    ) -> anyhow::Result<Self> {
        let name = &service.name;
        let applied = client.query(APPLIED, &[name, &ids]).await?;
        let mut known: Vec<(Uuid, EventState)> = applied
            .iter()
            .map(|row| {
                (
                    row.get(0),
                    EventState::Done {
                        at: Some(row.get(1)),
                    },
                )
            })
            .collect();
        for row in client.query(PARKED_IN_INBOX, &[name, &key]).await? {
            known.push((row.get(0), parked_state(row.get(3), row.get(4), row.get(5))));
        }
        let mut retried = Vec::new();
        for row in client.query(RETRIED, &[name]).await? {
            let (id, topic, since): (Uuid, &str, _) = (row.get(0), row.get(2), row.get(3));
            let topic = topic.strip_prefix(prefix).unwrap_or(topic).to_owned();
            retried.push((id, topic, since));
            let (attempts, error) = (row.get(4), row.get(5));
            known.push((
                id,
                EventState::Retried {
                    since,
                    attempts,
                    error,
                },
            ));
        }
        Ok(Self { known, retried })
    }

    fn find(&self, event: &JourneyEvent) -> EventState {
        if let Some((_, at)) = self.known.iter().find(|(id, _)| *id == event.id) {
            return at.clone();
        }
        let topic = topic_of(&event.event_type);
        let before = self.retried.iter().find(|(_, of, _)| of == topic);
        before.map_or(EventState::Waits, |(event, _, since)| {
            EventState::BehindRetried {
                event: *event,
                since: *since,
            }
        })
    }
}
