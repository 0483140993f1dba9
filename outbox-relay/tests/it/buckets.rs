use std::time::Duration;

use clap::Parser;
use db::Tx;
use outbox::log::{BUCKET_SECONDS, BUCKETS, empty_bucket};
use outbox_relay::RelaySettings;
use tokio::sync::oneshot;

use crate::store::{Abort, Store, noted, publish, until};

const HOUR: Duration = Duration::from_secs(3600);

async fn emptied(store: &Store, retention: Duration) -> usize {
    let mut emptied = 0;
    for bucket in 0..BUCKETS {
        emptied += usize::from(
            empty_bucket(&store.client, bucket, retention)
                .await
                .unwrap(),
        );
    }
    emptied
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_emptied_only_when_all_of_it_is_acknowledged_and_old() {
    let store = Store::new().await;
    store.publish("key", "one").await;
    assert_eq!(
        emptied(&store, Duration::ZERO).await,
        0,
        "nothing is acknowledged"
    );

    // While a transaction of another database is open, the saved snapshot may not prove that all is
    // acknowledged: then the test tries again.
    until("old and acknowledged events are gone", async || {
        store.relay().await.stop().await.unwrap();
        assert_eq!(store.unacknowledged().await, 0);
        assert_eq!(emptied(&store, HOUR).await, 0, "it is not old");
        emptied(&store, Duration::ZERO).await == 1
    })
    .await;
    assert!(store.committed().await.is_empty());

    let id = store.publish("key", "two").await;
    assert_eq!(
        emptied(&store, Duration::ZERO).await,
        0,
        "it is not acknowledged"
    );
    assert_eq!(store.committed().await, [("key".to_owned(), id)]);
    let _relay = store.relay().await;
    store.topic().until_has([id]).await;
}

/// A row that is not committed yet is not acknowledged, either.
#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_a_transaction_writes_to_is_left_for_later() {
    let store = Store::new().await;
    store.publish("key", "one").await;
    store.relay().await.stop().await.unwrap();
    let (published, has_published) = oneshot::channel();
    let (may_commit, commit) = oneshot::channel::<()>();
    let open = tokio::spawn({
        let db = store.db.clone();
        async move {
            db.transaction(
                "test.open",
                async move |tx: &mut Tx<'_>| -> Result<(), Abort> {
                    publish(tx, &noted("key", "two")).await?;
                    published.send(()).unwrap();
                    commit.await.unwrap();
                    Ok(())
                },
            )
            .await
            .unwrap();
        }
    });
    has_published.await.unwrap();
    assert_eq!(emptied(&store, Duration::ZERO).await, 0);
    may_commit.send(()).unwrap();
    open.await.unwrap();
    assert_eq!(emptied(&store, Duration::ZERO).await, 0);
    assert_eq!(store.committed().await.len(), 2);
}

fn with_retention(hours: u64) -> Result<RelaySettings, clap::Error> {
    let hours = hours.to_string();
    RelaySettings::try_parse_from([
        "outbox-relay",
        "--database-url",
        "postgres://",
        "--retention-hours",
        &hours,
    ])
}

#[test]
fn a_retention_after_which_no_bucket_could_be_emptied_is_refused() {
    assert_eq!(with_retention(29).unwrap().retention_hours, 29);
    let error = with_retention(30).unwrap_err().to_string();
    assert!(error.contains("at most 29 hours"), "{error}");
    assert!(error.contains("grows without end"), "{error}");
}

/// Simulates five days in which events come all the time and buckets are emptied once a minute:
/// each bucket is emptied before it is written to anew.
#[test]
fn with_each_retention_that_is_allowed_every_bucket_is_emptied_in_its_turn() {
    for hours in (0..=48).filter(|hours| with_retention(*hours).is_ok()) {
        let retention = i64::try_from(hours).unwrap() * 60;
        let bucket_minutes = BUCKET_SECONDS / 60;
        let buckets = usize::try_from(BUCKETS).unwrap();
        let (mut oldest, mut newest) = (vec![None; buckets], vec![None; buckets]);
        for minute in 0..5 * 24 * 60 {
            let bucket = usize::try_from(minute / bucket_minutes).unwrap() % buckets;
            oldest[bucket].get_or_insert(minute);
            newest[bucket] = Some(minute);
            for bucket in 0..buckets {
                if newest[bucket].is_some_and(|newest| minute - newest > retention) {
                    (oldest[bucket], newest[bucket]) = (None, None);
                }
                let age = oldest[bucket].map_or(0, |oldest| minute - oldest);
                assert!(
                    age < 36 * 60,
                    "with {hours} hours a row is {age} minutes old"
                );
            }
        }
    }
}

/// The last minutes before a bucket is written to anew, at whatever time of the day that is.
#[tokio::test(flavor = "multi_thread")]
async fn with_the_longest_retention_a_bucket_is_emptied_before_it_is_written_to_anew() {
    let store = Store::new().await;
    let id = store.publish("key", "one").await;
    let _relay = store.relay().await;
    store.topic().until_has([id]).await;
    let old = "UPDATE outbox SET recorded_at = now() - interval '29 hours 50 minutes'";
    store.client.batch_execute(old).await.unwrap();
    let longest = u32::try_from(with_retention(29).unwrap().retention_hours).unwrap();
    until("it is emptied", async || {
        // While other snapshots are open, the saved one may not prove it at once.
        emptied(&store, HOUR * longest).await == 1
    })
    .await;
    assert!(store.committed().await.is_empty());
}
