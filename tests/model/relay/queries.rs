//! The functions of `log`, which the model takes for the outbox's queries, against these queries in
//! PostgreSQL.

use std::time::Duration;

use connect::PostgresSettings;
use db::{DbSettings, lock_class};
use outbox::log::{BUCKETS, Cursor, Difference, OutboxEvent, PageSize, Session, empty_bucket};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use tokio_postgres::Client;

use super::{
    KINDS, log,
    postgres::{Key, Postgres, Snapshot, State},
};

const HISTORIES: u64 = 30;
const STEPS: usize = 40;
const TRANSACTIONS: usize = 5;

/// An instant as the model and as PostgreSQL know it.
type Instant = (Snapshot, String);

/// The same outbox twice.
struct Twins {
    model: Postgres,
    session: Session,
    client: Client,
    /// A session for each transaction.
    writers: Vec<Client>,
    instants: Vec<Instant>,
}

impl Twins {
    async fn new(settings: &PostgresSettings, clients: &mut impl AsyncFnMut() -> Client) -> Self {
        let mut writers = Vec::new();
        for _ in 0..TRANSACTIONS {
            writers.push(clients().await);
        }
        Self {
            model: Postgres::new(&[]),
            session: Session::open(settings, "test").await.unwrap(),
            client: clients().await,
            writers,
            instants: Vec::new(),
        }
    }

    /// Nothing was ever published.
    async fn begin(&mut self, random: &mut StdRng) {
        for writer in &self.writers {
            writer.batch_execute("ROLLBACK").await.unwrap();
        }
        let nothing = "TRUNCATE outbox RESTART IDENTITY";
        self.client.batch_execute(nothing).await.unwrap();
        let kinds: Vec<&[Key]> = (0..TRANSACTIONS)
            .map(|_| *KINDS.choose(random).unwrap())
            .collect();
        self.model = Postgres::new(&kinds);
        self.instants.clear();
        self.note_instant().await;
        self.save(0).await;
    }

    async fn note_instant(&mut self) {
        let row = self
            .client
            .query_one("SELECT pg_current_snapshot()::text", &[])
            .await;
        self.instants
            .push((self.model.snapshot(), row.unwrap().get(0)));
    }

    async fn save(&mut self, instant: usize) {
        let (snapshot, text) = self.instants[instant].clone();
        let cursor = Cursor {
            acknowledged: text,
            target: None,
        };
        self.session.save_cursor(&cursor).await.unwrap();
        let cursor = Cursor {
            acknowledged: snapshot,
            target: None,
        };
        self.model.save(cursor, true);
    }

    async fn step(&mut self, random: &mut StdRng) {
        let index = random.random_range(0..TRANSACTIONS);
        let writer = &self.writers[index];
        let transaction = &self.model.transactions[index];
        match (random.random_range(0..10), transaction.state) {
            (0..=5, State::NotBegun | State::Open)
                if transaction.rows.len() < transaction.keys.len() =>
            {
                let (key, begins) = (
                    transaction.keys[transaction.rows.len()],
                    transaction.state == State::NotBegun,
                );
                if self.model.publish(index).is_none() {
                    // It would wait.
                    return;
                }
                if begins {
                    writer.batch_execute("BEGIN").await.unwrap();
                }
                let publish = "SELECT outbox_publish(gen_random_uuid(), 'notes', $1, \
                    'notes.noted.v1', '{}', NULL, $2, $3)";
                let (sleep, order) = (lock_class::OUTBOX_SLEEP, lock_class::OUTBOX_KEY);
                writer
                    .query_one(publish, &[&format!("{key:?}"), &sleep, &order])
                    .await
                    .unwrap();
            }
            (0..=3, State::Open) => {
                writer.batch_execute("COMMIT").await.unwrap();
                self.model.commit(index);
            }
            (4..=6, State::Open) => {
                writer.batch_execute("ROLLBACK").await.unwrap();
                self.model.abort(index);
            }
            (7, _) => {
                let instant = random.random_range(0..self.instants.len());
                self.save(instant).await;
            }
            (8, _) => self.empty().await,
            _ => self.note_instant().await,
        }
    }

    /// All rows are of the bucket of this hour, and old at once.
    async fn empty(&mut self) {
        let mut emptied = false;
        for bucket in 0..BUCKETS {
            emptied |= empty_bucket(&self.client, bucket, Duration::ZERO)
                .await
                .unwrap();
        }
        assert_eq!(self.model.empty(0).is_some(), emptied);
    }

    /// The queries that a relay could make at this moment from any instant on, with some of the
    /// pages.
    async fn compare(&self, random: &mut StdRng) {
        for (acknowledged, text) in &self.instants {
            let (now, rows) = log::tick(&self.model, *acknowledged);
            let expected: Vec<i64> = rows.iter().map(|row| row.position).collect();
            let Difference::Whole { events, .. } = self
                .session
                .read_difference(text, &mut rows_at_most(1_000))
                .await
                .unwrap()
            else {
                panic!("a thousand rows");
            };
            assert_eq!(positions(&events), expected);
            if expected.is_empty() {
                continue;
            }
            let Difference::Large {
                before,
                now: text_now,
            } = self
                .session
                .read_difference(text, &mut rows_at_most(0))
                .await
                .unwrap()
            else {
                panic!("no rows");
            };
            assert_eq!(before, log::lowest(&self.model, *acknowledged, now));
            let targets = [&self.instants[..], &[(now, text_now)]].concat();
            let (target, text_target) = targets.choose(random).unwrap();
            let (after, wanted) = (
                before + random.random_range(0..4),
                random.random_range(1..4),
            );
            let found = self
                .session
                .read_page(text, text_target, after, &mut rows_at_most(wanted))
                .await
                .unwrap();
            let many = usize::try_from(wanted).unwrap();
            let rows = log::page(&self.model, *acknowledged, *target, after, many);
            let expected: Vec<i64> = rows.iter().map(|row| row.position).collect();
            assert_eq!(
                positions(&found),
                expected,
                "{acknowledged:?} {target:?} {after} {wanted}"
            );
        }
    }
}

fn rows_at_most(rows: i64) -> PageSize {
    PageSize::new(rows, usize::MAX)
}

fn positions(events: &[OutboxEvent]) -> Vec<i64> {
    events.iter().map(OutboxEvent::position).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_answers_as_the_model_does() {
    let servers = backing::shared().await.unwrap();
    let url = servers.postgres.create_database("queries").await.unwrap();
    db::migrate(&DbSettings::new(&url), vec![outbox::MIGRATIONS])
        .await
        .unwrap();
    let mut clients = async || servers.postgres.connect("queries").await.unwrap();
    let mut twins = Twins::new(&PostgresSettings::new(&url), &mut clients).await;
    let declared = "INSERT INTO outbox_topics VALUES ('notes')";
    twins.client.batch_execute(declared).await.unwrap();
    for seed in 0..HISTORIES {
        println!("history {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        twins.begin(&mut random).await;
        for _ in 0..STEPS {
            twins.step(&mut random).await;
            twins.compare(&mut random).await;
        }
    }
}
