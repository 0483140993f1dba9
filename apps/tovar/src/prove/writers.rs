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

/// Writers at the same time: enough that transactions overlap.
const WRITERS: u32 = 4;
/// Keys of the events: few, so that writers often have the same key.
const KEYS: usize = 12;
/// How long a transaction may take before the writer cancels it.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(5);

/// What the writers know about their events. An event whose commit was requested and not answered
/// is in neither set.
#[derive(Clone, Debug, Default)]
pub struct KnownOutcomes {
    pub committed: HashSet<Uuid>,
    pub aborted: HashSet<Uuid>,
}

/// Writers that run until this is dropped.
pub struct Writers {
    outcomes: Arc<Mutex<KnownOutcomes>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Writers {
    pub async fn start(url: &str, seed: u64) -> anyhow::Result<Self> {
        let outcomes = Arc::new(Mutex::new(KnownOutcomes::default()));
        let numbers = Arc::new(AtomicI64::new(0));
        let settings = DbSettings {
            database_pool_size: WRITERS,
            database_pool_timeout: TRANSACTION_TIMEOUT.as_secs(),
            ..DbSettings::new(url)
        };
        let db = Db::open(&settings, "prove-writer").await?;
        let tasks = (0..u64::from(WRITERS)).map(|writer| {
            let (db, outcomes, numbers) = (db.clone(), outcomes.clone(), numbers.clone());
            let random = StdRng::seed_from_u64(seed.wrapping_mul(u64::from(WRITERS)) + writer);
            tokio::spawn(write(db, random, outcomes, numbers))
        });
        Ok(Self {
            tasks: tasks.collect(),
            outcomes,
        })
    }

    pub fn outcomes(&self) -> KnownOutcomes {
        lock(&self.outcomes).clone()
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn lock(outcomes: &Mutex<KnownOutcomes>) -> MutexGuard<'_, KnownOutcomes> {
    outcomes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What one transaction does, and how far it has come.
struct TransactionPlan {
    /// If there is a savepoint, the last one is published in it and rolled back with it.
    events: Vec<Noted>,
    savepoint: bool,
    roll_back: bool,
    pause: Duration,
    /// Ids of published events, which count if the transaction commits.
    kept: Vec<Uuid>,
    rolled_back: Vec<Uuid>,
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

impl TransactionPlan {
    fn new(random: &mut StdRng, numbers: &AtomicI64) -> Self {
        let count = random.random_range(1..=3);
        let mut keys = index::sample(random, KEYS, count).into_vec();
        // In the same order for all writers: otherwise they deadlock.
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
            rolled_back: Vec::new(),
            asked_to_commit: false,
        }
    }
}

async fn write(
    db: Db,
    mut random: StdRng,
    outcomes: Arc<Mutex<KnownOutcomes>>,
    numbers: Arc<AtomicI64>,
) {
    loop {
        sleep(Duration::from_millis(random.random_range(10..70))).await;
        let mut plan = TransactionPlan::new(&mut random, &numbers);
        let done = timeout(TRANSACTION_TIMEOUT, transact(&db, &mut plan)).await;
        let mut outcomes = lock(&outcomes);
        outcomes.aborted.extend(plan.rolled_back);
        if !plan.asked_to_commit {
            outcomes.aborted.extend(plan.kept);
        } else if matches!(done, Ok(Ok(()))) {
            outcomes.committed.extend(plan.kept);
        }
    }
}

/// One transaction, by the code that services run.
async fn transact(db: &Db, plan: &mut TransactionPlan) -> Result<(), Ended> {
    db.transaction(
        "prove.write",
        async move |tx: &mut Tx<'_>| -> Result<(), Ended> {
            let kept = plan.events.len() - usize::from(plan.savepoint);
            for noted in &plan.events[..kept] {
                plan.kept.push(outbox::publish(tx, noted)?);
            }
            for noted in &plan.events[kept..] {
                let rolled_back = &mut plan.rolled_back;
                let savepoint = tx.savepoint(async move |tx: &mut Tx<'_>| -> Result<(), Ended> {
                    rolled_back.push(outbox::publish(tx, noted)?);
                    tx.flush().await?;
                    Err(Ended::Planned)
                });
                match savepoint.await {
                    Err(Ended::Planned) => {}
                    other => other?,
                }
            }
            // The events wait here in an open transaction, and the relay must cope with that.
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
