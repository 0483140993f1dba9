//! Transactions that publish: some roll back, some only a savepoint, some commit after others that began later.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use kernel::Event;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::index};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_postgres::Client;
use uuid::Uuid;

use super::consumer::Noted;
use crate::database;

const WRITERS: u64 = 4;
const KEYS: usize = 12;
/// How long a transaction may take before its line is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// What writers know of their events. Of those whose commit was asked for and not answered they know nothing.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub committed: HashSet<Uuid>,
    pub aborted: HashSet<Uuid>,
}

/// Writers that run until this is dropped.
pub struct Writers {
    told: Arc<Mutex<Told>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Writers {
    pub fn start(url: &str, seed: u64) -> Self {
        let told = Arc::new(Mutex::new(Told::default()));
        let numbers = Arc::new(AtomicI64::new(0));
        let tasks = (0..WRITERS).map(|writer| {
            let (url, told, numbers) = (url.to_owned(), told.clone(), numbers.clone());
            let random = StdRng::seed_from_u64(seed.wrapping_mul(WRITERS) + writer);
            tokio::spawn(write(url, random, told, numbers))
        });
        Self {
            tasks: tasks.collect(),
            told,
        }
    }

    pub fn told(&self) -> Told {
        lock(&self.told).clone()
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn lock(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An event and its id.
type Given = (Uuid, Noted);

/// What one transaction is to do, and how far it came.
struct Plan {
    events: Vec<Given>,
    savepoint: bool,
    roll_back: bool,
    pause: Duration,
    asked_to_commit: bool,
}

impl Plan {
    fn new(random: &mut StdRng, numbers: &AtomicI64) -> Self {
        let count = random.random_range(1..=3);
        let mut keys = index::sample(random, KEYS, count).into_vec();
        // In one order for all, or they would wait for each other in a circle.
        keys.sort_unstable();
        let events = keys.into_iter().map(|key| {
            let noted = Noted {
                key: format!("key-{key}"),
                n: numbers.fetch_add(1, Ordering::Relaxed),
            };
            (Uuid::now_v7(), noted)
        });
        Self {
            events: events.collect(),
            savepoint: random.random_ratio(1, 8),
            roll_back: random.random_ratio(1, 8),
            pause: Duration::from_millis(if random.random_ratio(1, 16) {
                random.random_range(50..800)
            } else {
                0
            }),
            asked_to_commit: false,
        }
    }

    /// Events of this plan that are in the log if it is committed, and those that are not.
    fn kept(&self) -> (&[Given], &[Given]) {
        self.events
            .split_at(self.events.len() - usize::from(self.savepoint))
    }
}

async fn write(url: String, mut random: StdRng, told: Arc<Mutex<Told>>, numbers: Arc<AtomicI64>) {
    let mut line = None;
    loop {
        sleep(Duration::from_millis(random.random_range(10..70))).await;
        let mut client = match line.take() {
            Some(client) => client,
            None => match timeout(PATIENCE, database::open(&url)).await {
                Ok(Ok(client)) => client,
                _ => continue,
            },
        };
        let mut plan = Plan::new(&mut random, &numbers);
        let done = timeout(PATIENCE, transact(&mut client, &mut plan)).await;
        if matches!(done, Ok(Ok(()))) {
            line = Some(client);
        }
        let mut told = lock(&told);
        let (kept, dropped) = plan.kept();
        told.aborted.extend(dropped.iter().map(|(id, _)| *id));
        if !plan.asked_to_commit {
            told.aborted.extend(kept.iter().map(|(id, _)| *id));
        } else if line.is_some() {
            told.committed.extend(kept.iter().map(|(id, _)| *id));
        }
    }
}

async fn transact(client: &mut Client, plan: &mut Plan) -> anyhow::Result<()> {
    let mut transaction = client.transaction().await?;
    let (kept, dropped) = plan.kept();
    for (id, noted) in kept {
        publish(transaction.client(), *id, noted).await?;
    }
    for (id, noted) in dropped {
        let savepoint = transaction.savepoint("given_up").await?;
        publish(savepoint.client(), *id, noted).await?;
        savepoint.rollback().await?;
    }
    sleep(plan.pause).await;
    if plan.roll_back {
        return Ok(transaction.rollback().await?);
    }
    plan.asked_to_commit = true;
    Ok(transaction.commit().await?)
}

async fn publish(client: &Client, id: Uuid, noted: &Noted) -> anyhow::Result<()> {
    let sql = format!(
        "SELECT outbox_publish($1, $2, $3, $4, $5, NULL, {}, {})",
        db::lock_class::OUTBOX_SLEEP,
        db::lock_class::OUTBOX_KEY
    );
    let payload = serde_json::to_string(noted)?;
    client
        .execute(&sql, &[&id, &Noted::TOPIC, &noted.key, &Noted::TYPE, &payload])
        .await?;
    Ok(())
}
