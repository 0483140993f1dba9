use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use db::Tx;
use rand::Rng;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    kafka::{Received, by_key},
    store::{Abort, Store, noted, publish, until},
};

#[derive(Default)]
struct Outcome {
    committed: Vec<Uuid>,
    aborted: Vec<Uuid>,
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_commit_late_roll_back_or_sit_in_savepoints_are_sent_exactly_as_committed() {
    let store = Arc::new(Store::new().await);
    let relay = store.relay().await;
    let plain = PlainReader::start(&store);

    // One transaction draws a low position and commits after a later one was sent.
    let (drawn, has_drawn) = oneshot::channel();
    let (may_commit, commit) = oneshot::channel::<()>();
    let late = tokio::spawn({
        let db = store.db.clone();
        async move {
            db.transaction(
                "test.late",
                async move |tx: &mut Tx<'_>| -> Result<Uuid, Abort> {
                    let id = publish(tx, &noted("late", "late")).await?;
                    drawn.send(()).unwrap();
                    commit.await.unwrap();
                    Ok(id)
                },
            )
            .await
            .unwrap()
        }
    });
    has_drawn.await.unwrap();
    let early = store.publish("early", "early").await;
    let mut topic = store.topic();
    topic.until_has([early]).await;
    until("the plain reader has the later event", async || {
        plain.has(early)
    })
    .await;
    may_commit.send(()).unwrap();
    let late = late.await.unwrap();

    let writers: Vec<_> = (0..16)
        .map(|_| tokio::spawn(write(store.clone())))
        .collect();
    let mut all = Outcome::default();
    for writer in writers {
        let outcome = writer.await.unwrap();
        all.committed.extend(outcome.committed);
        all.aborted.extend(outcome.aborted);
    }
    all.committed.extend([early, late]);
    assert!(
        all.aborted.len() > 100,
        "{} events were aborted",
        all.aborted.len()
    );

    let last = store.publish("last", "last").await;
    all.committed.push(last);
    topic.until_has(all.committed.iter().copied()).await;
    relay.kill();

    let sent: HashSet<Uuid> = topic.received.iter().map(Received::id).collect();
    assert!(
        all.aborted.iter().all(|id| !sent.contains(id)),
        "an aborted event was sent"
    );
    assert_eq!(
        topic.first_occurrences(),
        by_key(store.committed().await),
        "the order of a key"
    );

    until("the plain reader has the last event", async || {
        plain.has(last)
    })
    .await;
    assert!(!plain.has(late), "the control did not lose the late event");
}

/// Runs transactions that publish one to three events in and out of savepoints, take some time, and
/// may roll back.
async fn write(store: Arc<Store>) -> Outcome {
    let mut outcome = Outcome::default();
    for _ in 0..40 {
        let published = Arc::new(Mutex::new(Vec::new()));
        let in_work = published.clone();
        let work = async move |tx: &mut Tx<'_>| -> Result<(), Abort> {
            let (mut keys, pause, rolls_back) = plan();
            keys.sort_unstable();
            for (key, fate) in keys {
                let event = noted(&format!("key {key}"), "");
                if fate == 0 {
                    let id = publish(tx, &event).await?;
                    in_work.lock().unwrap().push((id, true));
                    continue;
                }
                let stays = fate == 1;
                let in_savepoint = in_work.clone();
                let done = tx
                    .savepoint(async move |tx: &mut Tx<'_>| -> Result<(), Abort> {
                        let id = publish(tx, &event).await?;
                        in_savepoint.lock().unwrap().push((id, stays));
                        if stays { Ok(()) } else { Err(Abort::OnPurpose) }
                    })
                    .await;
                match done {
                    Ok(()) | Err(Abort::OnPurpose) => {}
                    Err(error) => return Err(error),
                }
            }
            // The pause brings commits into another order than positions.
            tokio::time::sleep(pause).await;
            if rolls_back {
                Err(Abort::OnPurpose)
            } else {
                Ok(())
            }
        };
        let committed = match store.db.transaction("test.write", work).await {
            Ok(()) => true,
            Err(Abort::OnPurpose) => false,
            Err(other) => panic!("{other:?}"),
        };
        for (id, stays) in published.lock().unwrap().drain(..) {
            if committed && stays {
                outcome.committed.push(id);
            } else {
                outcome.aborted.push(id);
            }
        }
    }
    outcome
}

/// Plans a transaction: keys, each plain (0), in a savepoint that is released (1) or rolled back
/// (2); how long it pauses; and whether it rolls back.
fn plan() -> (Vec<(u8, u8)>, Duration, bool) {
    let mut rng = rand::rng();
    let keys = (0..rng.random_range(1..=3))
        .map(|_| (rng.random_range(0..60), rng.random_range(0..3)))
        .collect();
    let pause = Duration::from_micros(rng.random_range(0..15_000));
    (keys, pause, rng.random_bool(0.2))
}

/// The control: a reader that asks for the positions after the last one that it has seen.
struct PlainReader {
    seen: Arc<Mutex<HashSet<Uuid>>>,
    stop: CancellationToken,
}

impl PlainReader {
    fn start(store: &Arc<Store>) -> Self {
        let (seen, stop) = (
            Arc::<Mutex<HashSet<Uuid>>>::default(),
            CancellationToken::new(),
        );
        let (store, found, stopped) = (store.clone(), seen.clone(), stop.clone());
        tokio::spawn(async move {
            let mut last = 0_i64;
            let sql = "SELECT position, id FROM outbox WHERE position > $1 ORDER BY position";
            while !stopped.is_cancelled() {
                for row in store.client.query(sql, &[&last]).await.unwrap() {
                    last = row.get(0);
                    found.lock().unwrap().insert(row.get(1));
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        Self { seen, stop }
    }

    fn has(&self, id: Uuid) -> bool {
        self.seen.lock().unwrap().contains(&id)
    }
}

impl Drop for PlainReader {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
