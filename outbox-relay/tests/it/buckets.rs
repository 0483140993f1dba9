use std::time::Duration;

use db::Tx;
use outbox::log::{BUCKETS, empty_bucket};
use tokio::sync::oneshot;

use crate::store::{Abort, Store, noted, publish, until};

const HOUR: Duration = Duration::from_secs(3600);

async fn emptied(store: &Store, retention: Duration) -> usize {
    let mut emptied = 0;
    for bucket in 0..BUCKETS {
        emptied += usize::from(empty_bucket(&store.client, bucket, retention).await.unwrap());
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

    // A transaction of another database may keep the saved snapshot from proving it: then once more.
    until("old and acknowledged events are gone", async || {
        store.relay().await.stop().await.unwrap();
        assert_eq!(store.unacknowledged().await, 0);
        assert_eq!(emptied(&store, HOUR).await, 0, "it is not old");
        emptied(&store, Duration::ZERO).await == 1
    })
    .await;
    assert!(store.committed().await.is_empty());

    let id = store.publish("key", "two").await;
    assert_eq!(emptied(&store, Duration::ZERO).await, 0, "it is not acknowledged");
    assert_eq!(store.committed().await, [("key".to_owned(), id)]);
    let _relay = store.relay().await;
    store.topic().until_has([id]).await;
}

/// A row that is not committed yet is unacknowledged as well.
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
            db.transaction("test.open", async move |tx: &mut Tx<'_>| -> Result<(), Abort> {
                publish(tx, &noted("key", "two")).await?;
                published.send(()).unwrap();
                commit.await.unwrap();
                Ok(())
            })
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
