//! The way of an order's events, from the outbox of their producer to each inbox that they are for.

use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use serde::Serialize;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::services::{SERVICES, ServiceInfo, topic_of};

/// An event of the order.
#[derive(Debug, Serialize)]
pub struct Step {
    pub event: Uuid,
    #[serde(rename = "type")]
    pub event_type: String,
    pub producer: &'static str,
    pub published_at: DateTime<Utc>,
    /// In the outbox.
    pub outbox: At,
    /// In each inbox that it is for.
    pub readers: Vec<Reader>,
}

#[derive(Debug, Serialize)]
pub struct Reader {
    pub service: &'static str,
    pub inbox: At,
}

/// Where an event is in an outbox or an inbox.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum At {
    /// Sent, or applied.
    Done {
        at: Option<DateTime<Utc>>,
    },
    /// Not sent, or not read.
    Waits,
    /// Being tried again: its partition waits.
    Retried {
        since: DateTime<Utc>,
        attempts: i32,
        error: String,
    },
    /// The partition of another event that is tried again may be its own.
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
const REFUSED: &str =
    "SELECT id, type, recorded_at, state, changed_at, reason FROM outbox_parked WHERE key = $1";
/// $1: the consumer, $2: events.
pub const APPLIED: &str =
    "SELECT event_id, applied_at FROM inbox WHERE consumer = $1 AND event_id = ANY($2)";
const PARKED: &str =
    "SELECT event_id, type, parked_at, state, changed_at, code || ': ' || reason FROM inbox_parked
    WHERE consumer = $1 AND key = $2";
const RETRIED: &str =
    "SELECT event_id, type, topic, since, attempts, error FROM inbox_blocked b WHERE consumer = $1
    AND NOT EXISTS (SELECT FROM inbox i WHERE i.consumer = b.consumer AND i.event_id = b.event_id)";

/// The events with `key`, in the order of their publication. `clients` are those of [`SERVICES`].
pub async fn read(clients: &[Client], prefix: &str, key: &str) -> anyhow::Result<Vec<Step>> {
    let published = SERVICES
        .into_iter()
        .zip(clients)
        .map(async |(service, client)| published(service, client, key).await);
    let mut steps: Vec<Step> = try_join_all(published)
        .await?
        .into_iter()
        .flatten()
        .collect();
    steps.sort_by_key(|step| step.published_at);
    let ids: Vec<Uuid> = steps.iter().map(|step| step.event).collect();
    for (service, client) in SERVICES.into_iter().zip(clients) {
        let inbox = Inbox::read(service, client, prefix, key, &ids).await?;
        for step in &mut steps {
            if service.listens_to.contains(&step.event_type.as_str()) {
                step.readers.push(Reader {
                    service: service.name,
                    inbox: inbox.find(step),
                });
            }
        }
    }
    Ok(steps)
}

async fn published(service: ServiceInfo, client: &Client, key: &str) -> anyhow::Result<Vec<Step>> {
    let step = |row: &tokio_postgres::Row, outbox| Step {
        event: row.get(0),
        event_type: row.get(1),
        producer: service.name,
        published_at: row.get(2),
        outbox,
        readers: Vec::new(),
    };
    let refused = client.query(REFUSED, &[&key]).await?;
    let refused = refused
        .iter()
        .map(|row| step(row, put_aside(row.get(3), row.get(4), row.get(5))));
    let mut steps: Vec<Step> = refused.collect();
    for row in client.query(PUBLISHED, &[&key]).await? {
        let id: Uuid = row.get(0);
        if steps.iter().all(|step| step.event != id) {
            let is_sent: bool = row.get(3);
            steps.push(step(
                &row,
                if is_sent {
                    At::Done { at: None }
                } else {
                    At::Waits
                },
            ));
        }
    }
    Ok(steps)
}

/// What the tables of parked events say; their CHECKs allow only these states.
fn put_aside(state: &str, since: DateTime<Utc>, reason: String) -> At {
    match state {
        "parked" => At::Parked { since, reason },
        "replay" => At::Replay { since },
        "discarded" => At::Discarded { since },
        _ => At::Done { at: Some(since) },
    }
}

/// A service's inbox as far as it concerns the order.
struct Inbox {
    known: Vec<(Uuid, At)>,
    /// Events that are tried again, with their topics.
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
        let mut known: Vec<(Uuid, At)> = applied
            .iter()
            .map(|row| {
                (
                    row.get(0),
                    At::Done {
                        at: Some(row.get(1)),
                    },
                )
            })
            .collect();
        for row in client.query(PARKED, &[name, &key]).await? {
            known.push((row.get(0), put_aside(row.get(3), row.get(4), row.get(5))));
        }
        let mut retried = Vec::new();
        for row in client.query(RETRIED, &[name]).await? {
            let (id, topic, since): (Uuid, &str, _) = (row.get(0), row.get(2), row.get(3));
            let topic = topic.strip_prefix(prefix).unwrap_or(topic).to_owned();
            retried.push((id, topic, since));
            let (attempts, error) = (row.get(4), row.get(5));
            known.push((
                id,
                At::Retried {
                    since,
                    attempts,
                    error,
                },
            ));
        }
        Ok(Self { known, retried })
    }

    fn find(&self, step: &Step) -> At {
        if let Some((_, at)) = self.known.iter().find(|(id, _)| *id == step.event) {
            return at.clone();
        }
        let topic = topic_of(&step.event_type);
        let before = self.retried.iter().find(|(_, of, _)| of == topic);
        before.map_or(At::Waits, |(event, _, since)| At::BehindRetried {
            event: *event,
            since: *since,
        })
    }
}
