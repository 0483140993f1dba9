//! Transactions that publish: some roll back, some only a savepoint, some commit after others that
//! began later.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use db::{Db, DbError, DbSettings, Tx};
use outbox::PublishError;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::index};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use uuid::Uuid;

use super::consumer::Noted;

const WRITERS: u32 = 4;
const KEYS: usize = 12;
/// How long a transaction may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// What writers know of their events. Of those whose commit was asked for and not answered they
/// know nothing.
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
    pub async fn start(url: &str, seed: u64) -> anyhow::Result<Self> {
        let told = Arc::new(Mutex::new(Told::default()));
        let numbers = Arc::new(AtomicI64::new(0));
        let settings = DbSettings {
            database_pool_size: WRITERS,
            database_pool_timeout: PATIENCE.as_secs(),
            ..DbSettings::new(url)
        };
        let db = Db::open(&settings, "prove-writer").await?;
        let tasks = (0..u64::from(WRITERS)).map(|writer| {
            let (db, told, numbers) = (db.clone(), told.clone(), numbers.clone());
            let random = StdRng::seed_from_u64(seed.wrapping_mul(u64::from(WRITERS)) + writer);
            tokio::spawn(write(db, random, told, numbers))
        });
        Ok(Self {
            tasks: tasks.collect(),
            told,
        })
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

/// What one transaction is to do, and how far it came.
struct Plan {
    /// Of these all but the last are kept if there is a savepoint, which is given up with the last.
    events: Vec<Noted>,
    savepoint: bool,
    roll_back: bool,
    pause: Duration,
    /// Published, by their ids.
    kept: Vec<Uuid>,
    given_up: Vec<Uuid>,
    asked_to_commit: bool,
}

/// Why a transaction was not committed.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("as it was planned")]
    Planned,
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Db(#[from] DbError),
}

impl Plan {
    fn new(random: &mut StdRng, numbers: &AtomicI64) -> Self {
        let count = random.random_range(1..=3);
        let mut keys = index::sample(random, KEYS, count).into_vec();
        // In one order for all, or they would wait for each other in a circle.
        keys.sort_unstable();
        let events = keys.into_iter().map(|key| Noted {
            key: format!("key-{key}"),
            n: numbers.fetch_add(1, Ordering::Relaxed),
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
            kept: Vec::new(),
            given_up: Vec::new(),
            asked_to_commit: false,
        }
    }
}

async fn write(db: Db, mut random: StdRng, told: Arc<Mutex<Told>>, numbers: Arc<AtomicI64>) {
    loop {
        sleep(Duration::from_millis(random.random_range(10..70))).await;
        let mut plan = Plan::new(&mut random, &numbers);
        let done = timeout(PATIENCE, transact(&db, &mut plan)).await;
        let mut told = lock(&told);
        told.aborted.extend(plan.given_up);
        if !plan.asked_to_commit {
            told.aborted.extend(plan.kept);
        } else if matches!(done, Ok(Ok(()))) {
            told.committed.extend(plan.kept);
        }
    }
}

/// One transaction, by the code that services run.
async fn transact(db: &Db, plan: &mut Plan) -> Result<(), Ended> {
    db.transaction(
        "prove.write",
        async move |tx: &mut Tx<'_>| -> Result<(), Ended> {
            let kept = plan.events.len() - usize::from(plan.savepoint);
            for noted in &plan.events[..kept] {
                plan.kept.push(outbox::publish(tx, noted)?);
            }
            for noted in &plan.events[kept..] {
                let given_up = &mut plan.given_up;
                let savepoint = tx.savepoint(async move |tx: &mut Tx<'_>| -> Result<(), Ended> {
                    given_up.push(outbox::publish(tx, noted)?);
                    tx.flush().await?;
                    Err(Ended::Planned)
                });
                match savepoint.await {
                    Err(Ended::Planned) => {}
                    other => other?,
                }
            }
            // A relay must also get along with who takes their time afterwards.
            tx.flush().await?;
            sleep(plan.pause).await;
            if plan.roll_back {
                return Err(Ended::Planned);
            }
            plan.asked_to_commit = true;
            Ok(())
        },
    )
    .await
}
