//! Which events an outbox says were published.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures_util::{TryStreamExt, pin_mut};
use tokio::time::Instant;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use crate::{database, retained::Retained};

/// Between two looks whether Kafka has acknowledged the events.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The first 16 bytes of a payload's SHA-256.
pub type Digest = [u8; 16];

/// Identifies a row and its message. An event that is published again has another row with another
/// time.
pub type Identity = (Uuid, DateTime<Utc>);

/// A row of the outbox or of its table of parked events.
pub struct Entry {
    pub key: String,
    pub event_type: String,
    pub position: i64,
    pub digest: Digest,
    pub state: EntryState,
    /// It was parked once, also if it is sent by now.
    pub was_parked: bool,
}

/// The state of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntryState {
    /// Kafka had acknowledged it before the topic was read.
    Sent,
    /// The relay has not sent it yet, or has not saved that Kafka acknowledged it.
    Waiting,
    Parked,
    Replay,
    Discarded,
    /// It was published after the audit began.
    Newer,
}

/// All that an outbox retains.
pub struct History {
    pub at: DateTime<Utc>,
    pub retained: Retained,
    pub topics: HashMap<String, Entries>,
}

/// What an outbox retains of one topic.
#[derive(Default)]
pub struct Entries {
    pub all: HashMap<Identity, Entry>,
    /// The keys of which an operator discarded events once. If such an event is replayed, it comes
    /// after later ones.
    pub discarded_keys: HashSet<String>,
}

/// How far Kafka had acknowledged an outbox at an instant.
pub struct Acknowledged {
    snapshot: String,
    /// The positions of parked events, and whether each was sent by then.
    parked: HashMap<i64, bool>,
}

/// Takes the outbox's snapshot, and then waits, for at most `wait`, until Kafka has acknowledged
/// all events in it.
pub async fn beginning(client: &Client, wait: Duration) -> Result<String, tokio_postgres::Error> {
    let now = "SELECT pg_current_snapshot()::text";
    let beginning: String = client.query_one(now, &[]).await?.get(0);
    let waiting = "SELECT EXISTS (SELECT FROM outbox, outbox_cursor WHERE xid >=
        pg_snapshot_xmin(acknowledged)
        AND pg_visible_in_snapshot(xid, $1::text::pg_snapshot) AND NOT
        pg_visible_in_snapshot(xid, acknowledged))";
    let deadline = Instant::now() + wait;
    while client.query_one(waiting, &[&beginning]).await?.get(0) && Instant::now() < deadline {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(beginning)
}

/// Reads how far Kafka has acknowledged the outbox. The relay parks an event before it saves it as
/// acknowledged, so one statement reads both.
pub async fn acknowledged(client: &Client) -> Result<Acknowledged, tokio_postgres::Error> {
    let sql =
        "SELECT acknowledged::text, ARRAY(SELECT position FROM outbox_parked ORDER BY position),
        ARRAY(SELECT state = 'sent' FROM outbox_parked ORDER BY position) FROM outbox_cursor";
    let row = client.query_one(sql, &[]).await?;
    let (positions, sent): (Vec<i64>, Vec<bool>) = (row.get(1), row.get(2));
    Ok(Acknowledged {
        snapshot: row.get(0),
        parked: positions.into_iter().zip(sent).collect(),
    })
}

/// The topics that the service publishes to.
pub async fn topics(client: &Client) -> Result<Vec<String>, tokio_postgres::Error> {
    let rows = client
        .query("SELECT name FROM outbox_topics ORDER BY name", &[])
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// $1: the snapshot of the beginning, $2: the acknowledged snapshot.
const ROWS: &str = "SELECT o.topic, o.id, o.recorded_at, o.key, o.type, o.position,
      substring(sha256(convert_to(o.payload, 'UTF8')) for 16), p.state,
      pg_visible_in_snapshot(o.xid, $1::text::pg_snapshot), pg_visible_in_snapshot(o.xid,
      $2::text::pg_snapshot)
    FROM outbox o LEFT JOIN outbox_parked p ON p.position = o.position AND p.id = o.id";
/// Parked events whose row has left the outbox: they are kept longer.
const PARKED: &str = "SELECT topic, id, recorded_at, key, type, position,
      substring(sha256(convert_to(payload, 'UTF8')) for 16), state, true, true
    FROM outbox_parked p WHERE NOT EXISTS (SELECT FROM outbox o WHERE o.id = p.id AND
    o.recorded_at = p.recorded_at)";
const DISCARDED_KEYS: &str =
    "SELECT DISTINCT details ->> 'topic', details ->> 'key' FROM outbox_operations
    WHERE operation = 'discard'";

impl History {
    /// Reads all of it in one snapshot.
    pub async fn read(
        client: &mut Client,
        beginning: &str,
        before: &Acknowledged,
    ) -> anyhow::Result<Self> {
        let instant = database::one_instant(client).await?;
        let mut history = Self {
            at: instant
                .query_one("SELECT clock_timestamp()", &[])
                .await?
                .get(0),
            retained: Retained::default(),
            topics: HashMap::new(),
        };
        let snapshots = [beginning, &before.snapshot];
        for (sql, parameters) in [(ROWS, &snapshots[..]), (PARKED, &[])] {
            let is_retained = sql == ROWS;
            let rows = instant.query_raw(sql, parameters).await?;
            pin_mut!(rows);
            while let Some(row) = rows.try_next().await? {
                let identity: Identity = (row.get(1), row.get(2));
                if is_retained {
                    history.retained.add(row.get(5), identity.1);
                }
                let entries = history.topics.entry(row.get(0)).or_default();
                entries
                    .all
                    .insert(identity, entry(&row, before, is_retained));
            }
        }
        for row in instant.query(DISCARDED_KEYS, &[]).await? {
            let entries = history.topics.entry(row.get(0)).or_default();
            entries.discarded_keys.insert(row.get(1));
        }
        instant.rollback().await?;
        Ok(history)
    }
}

fn entry(row: &Row, before: &Acknowledged, is_retained: bool) -> Entry {
    let position = row.get(5);
    let digest: &[u8] = row.get(6);
    let was = before.parked.get(&position).copied();
    let is_acknowledged = if is_retained {
        row.get(9)
    } else {
        was.is_some()
    };
    let parked_state: Option<&str> = row.get(7);
    let state = match parked_state {
        Some("parked") => EntryState::Parked,
        Some("replay") => EntryState::Replay,
        Some("discarded") => EntryState::Discarded,
        // The relay sent it after `before` was read.
        _ if was == Some(false) => EntryState::Waiting,
        _ if is_acknowledged => EntryState::Sent,
        _ if row.get(8) => EntryState::Waiting,
        _ => EntryState::Newer,
    };
    Entry {
        key: row.get(3),
        event_type: row.get(4),
        position,
        digest: digest.try_into().expect("as many bytes as were asked for"),
        state,
        was_parked: parked_state.is_some(),
    }
}
