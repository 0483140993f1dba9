//! What an outbox says that was published.

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

const POLL: Duration = Duration::from_millis(100);

/// The first bytes of a payload's SHA-256.
pub type Digest = [u8; 16];

/// One row is one message: published again, an event has a row and a time more.
pub type Identity = (Uuid, DateTime<Utc>);

/// A row of the outbox, or of what is put aside of it.
pub struct Entry {
    pub key: String,
    pub event_type: String,
    pub position: i64,
    pub digest: Digest,
    pub fate: Fate,
    /// It was put aside once, also if it is sent by now.
    pub was_put_aside: bool,
}

/// What has become of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Kafka had acknowledged it before the topic was read.
    Sent,
    /// The relay has still to send it, or to say that it did.
    Waiting,
    Parked,
    Replay,
    Discarded,
    /// It was published after the audit began.
    Newer,
}

/// What an outbox retains.
pub struct History {
    pub at: DateTime<Utc>,
    pub retained: Retained,
    pub topics: HashMap<String, Entries>,
}

/// What an outbox retains of one topic.
#[derive(Default)]
pub struct Entries {
    pub all: HashMap<Identity, Entry>,
    /// The keys of which an operator once gave events up: if these are sent later, they come after
    /// later ones.
    pub given_up: HashSet<String>,
}

/// How far Kafka had acknowledged an outbox at an instant.
pub struct Acknowledged {
    snapshot: String,
    /// By position what was put aside, and whether it was sent by then.
    put_aside: HashMap<i64, bool>,
}

/// The outbox's snapshot now, after a wait of at most so long for the relay to acknowledge all that
/// it sees.
pub async fn beginning(client: &Client, wait: Duration) -> Result<String, tokio_postgres::Error> {
    let now = "SELECT pg_current_snapshot()::text";
    let beginning: String = client.query_one(now, &[]).await?.get(0);
    let waiting = "SELECT EXISTS (SELECT FROM outbox, outbox_cursor WHERE xid >= pg_snapshot_xmin(acknowledged)
        AND pg_visible_in_snapshot(xid, $1::text::pg_snapshot) AND NOT pg_visible_in_snapshot(xid, acknowledged))";
    let deadline = Instant::now() + wait;
    while client.query_one(waiting, &[&beginning]).await?.get(0) && Instant::now() < deadline {
        tokio::time::sleep(POLL).await;
    }
    Ok(beginning)
}

/// The relay puts an event aside before it calls it acknowledged, so both are read at once.
pub async fn acknowledged(client: &Client) -> Result<Acknowledged, tokio_postgres::Error> {
    let sql =
        "SELECT acknowledged::text, ARRAY(SELECT position FROM outbox_parked ORDER BY position),
        ARRAY(SELECT state = 'sent' FROM outbox_parked ORDER BY position) FROM outbox_cursor";
    let row = client.query_one(sql, &[]).await?;
    let (positions, sent): (Vec<i64>, Vec<bool>) = (row.get(1), row.get(2));
    Ok(Acknowledged {
        snapshot: row.get(0),
        put_aside: positions.into_iter().zip(sent).collect(),
    })
}

/// The topics that the service publishes to.
pub async fn topics(client: &Client) -> Result<Vec<String>, tokio_postgres::Error> {
    let rows = client
        .query("SELECT name FROM outbox_topics ORDER BY name", &[])
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// $1: the snapshot of the beginning, $2: what was acknowledged.
const ROWS: &str = "SELECT o.topic, o.id, o.recorded_at, o.key, o.type, o.position,
      substring(sha256(convert_to(o.payload, 'UTF8')) for 16), p.state,
      pg_visible_in_snapshot(o.xid, $1::text::pg_snapshot), pg_visible_in_snapshot(o.xid, $2::text::pg_snapshot)
    FROM outbox o LEFT JOIN outbox_parked p ON p.position = o.position AND p.id = o.id";
/// What was put aside is kept longer. Nobody could send it again from the outbox.
const PUT_ASIDE: &str = "SELECT topic, id, recorded_at, key, type, position,
      substring(sha256(convert_to(payload, 'UTF8')) for 16), state, true, true
    FROM outbox_parked p WHERE NOT EXISTS (SELECT FROM outbox o WHERE o.id = p.id AND o.recorded_at = p.recorded_at)";
const GIVEN_UP: &str =
    "SELECT DISTINCT details ->> 'topic', details ->> 'key' FROM outbox_operations
    WHERE operation = 'discard'";

impl History {
    /// All of it in one snapshot.
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
        for (sql, parameters) in [(ROWS, &snapshots[..]), (PUT_ASIDE, &[])] {
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
        for row in instant.query(GIVEN_UP, &[]).await? {
            let entries = history.topics.entry(row.get(0)).or_default();
            entries.given_up.insert(row.get(1));
        }
        instant.rollback().await?;
        Ok(history)
    }
}

fn entry(row: &Row, before: &Acknowledged, is_retained: bool) -> Entry {
    let position = row.get(5);
    let digest: &[u8] = row.get(6);
    let was = before.put_aside.get(&position).copied();
    let is_acknowledged = if is_retained {
        row.get(9)
    } else {
        was.is_some()
    };
    let state: Option<&str> = row.get(7);
    let fate = match state {
        Some("parked") => Fate::Parked,
        Some("replay") => Fate::Replay,
        Some("discarded") => Fate::Discarded,
        // It was sent meanwhile.
        _ if was == Some(false) => Fate::Waiting,
        _ if is_acknowledged => Fate::Sent,
        _ if row.get(8) => Fate::Waiting,
        _ => Fate::Newer,
    };
    Entry {
        key: row.get(3),
        event_type: row.get(4),
        position,
        digest: digest.try_into().expect("as many bytes as were asked for"),
        fate,
        was_put_aside: state.is_some(),
    }
}
