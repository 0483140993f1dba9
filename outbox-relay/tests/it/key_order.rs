use db::Tx;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::store::{Abort, Store, noted, publish, until};

#[tokio::test(flavor = "multi_thread")]
async fn two_transactions_for_one_key_are_sent_in_the_order_of_their_commits() {
    let store = Store::new().await;
    let (published, first_has_published) = oneshot::channel();
    let (may_commit, commit) = oneshot::channel::<()>();
    let first = tokio::spawn({
        let db = store.db.clone();
        async move {
            db.transaction(
                "test.first",
                async move |tx: &mut Tx<'_>| -> Result<Uuid, Abort> {
                    let id = publish(tx, &noted("key", "first")).await?;
                    published.send(()).unwrap();
                    commit.await.unwrap();
                    Ok(id)
                },
            )
            .await
            .unwrap()
        }
    });
    first_has_published.await.unwrap();
    let second = tokio::spawn({
        let db = store.db.clone();
        async move {
            db.transaction(
                "test.second",
                async move |tx: &mut Tx<'_>| -> Result<Uuid, Abort> {
                    Ok(publish(tx, &noted("key", "second")).await?)
                },
            )
            .await
            .unwrap()
        }
    });
    // Either the second transaction waits for the first, or it overtakes it.
    until("the second transaction waits or is through", async || {
        second.is_finished() || waits(&store).await
    })
    .await;
    let overtook = second.is_finished();
    may_commit.send(()).unwrap();
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    let by_commit = if overtook {
        [second, first]
    } else {
        [first, second]
    };

    let relay = store.relay().await;
    let mut topic = store.topic();
    topic.until_has(by_commit).await;
    relay.kill();
    assert_eq!(topic.first_occurrences()["key"], by_commit);
}

async fn waits(store: &Store) -> bool {
    store
        .number(
            "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database
             WHERE d.datname = current_database() AND locktype = 'advisory' AND NOT granted",
        )
        .await
        == 1
}
