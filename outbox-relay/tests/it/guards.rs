use std::time::Duration;

use db::{DbError, Tx};
use diesel_async::SimpleAsyncConnection;
use kernel::{Class, Classify, Event, cause_chain};
use outbox::PublishError;
use outbox_relay::{GoOnFrom, RelaySettings};
use serde::{Deserialize, Serialize};

use crate::{
    kafka::Topic,
    process::Process,
    store::{Abort, Store, connect, noted, publish, until},
};

#[derive(Serialize, Deserialize)]
struct Elsewhere;

impl Event for Elsewhere {
    const TYPE: &'static str = "elsewhere.happened.v1";
    const TOPIC: &'static str = "elsewhere";
    fn key(&self) -> String {
        "key".to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_for_a_topic_that_nobody_declared_is_refused() {
    let store = Store::new().await;
    let work = async |tx: &mut Tx<'_>| -> Result<(), PublishError> {
        publish(tx, &noted("key", "goes with it")).await?;
        outbox::publish(tx, &Elsewhere)?;
        Ok(())
    };
    let error = store.db.transaction("test", work).await.unwrap_err();
    let cause = cause_chain(&error);
    assert!(
        cause.contains("did not declare that it publishes to topic elsewhere"),
        "{cause}"
    );
    assert_eq!(error.class(), Class::Bug);
    assert!(store.committed().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_kafka_could_not_take_is_refused() {
    let store = Store::new().await;
    let work = async |tx: &mut Tx<'_>| {
        publish(tx, &noted("key", &"x".repeat(outbox::MAX_PAYLOAD_BYTES))).await
    };
    let error = store.db.transaction("test", work).await.unwrap_err();
    assert!(matches!(error, PublishError::TooLarge { .. }), "{error}");
    assert!(store.committed().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_publishes_cannot_commit_asynchronously() {
    let store = Store::new().await;
    let work = async |tx: &mut Tx<'_>| -> Result<(), Abort> {
        publish(tx, &noted("key", "text")).await?;
        let asynchronous = "SET LOCAL synchronous_commit = off";
        tx.batch_execute(asynchronous)
            .await
            .map_err(DbError::from)?;
        Ok(())
    };
    let Err(Abort::Db(error)) = store.db.transaction("test", work).await else {
        panic!("it was committed");
    };
    assert!(
        cause_chain(&error).contains("synchronous_commit"),
        "{error}"
    );
    assert!(store.committed().await.is_empty());
}

/// A store whose cursor and rows are from another cluster, as after a restore.
async fn restored_elsewhere() -> (Store, Topic) {
    let store = Store::new().await;
    let mut relay = store.relay().await;
    let sent = store.publish("key", "before").await;
    let mut topic = store.topic();
    topic.until_has([sent]).await;
    relay.stop().await.unwrap();
    let restored =
        "UPDATE outbox_cursor SET system_identifier = 1, acknowledged = '3000000000:3000000000:';
                    UPDATE outbox SET xid = ((SELECT xid FROM outbox ORDER BY xid DESC LIMIT 1)
                      ::text::bigint + 100)::text::xid8";
    store.client.batch_execute(restored).await.unwrap();
    (store, topic)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_does_not_go_on_by_itself_in_another_cluster() {
    let (store, _) = restored_elsewhere().await;
    store.publish("key", "after").await;
    let mut relay = store.relay().await;
    let ended = tokio::time::timeout(Duration::from_secs(30), relay.ended());
    let error = ended.await.expect("it goes on").unwrap_err();
    assert!(format!("{error:#}").contains("--go-on-from"), "{error:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_says_that_it_goes_on_from_now() {
    let (store, mut topic) = restored_elsewhere().await;
    let mut settings = store.settings();
    settings.go_on_from = Some(GoOnFrom::Now);
    let mut relay = outbox_relay::start(settings).await.unwrap();
    until("the cursor is from here", async || {
        store
            .number("SELECT system_identifier FROM outbox_cursor")
            .await
            != 1
    })
    .await;
    // After these transactions the restored row's id is in this cluster's past.
    for _ in 0..150 {
        store
            .client
            .batch_execute("BEGIN; SELECT pg_current_xact_id(); ROLLBACK")
            .await
            .unwrap();
    }
    let after = store.publish("key", "after").await;
    relay.stop().await.unwrap();
    topic.until_has([after]).await;
    assert_eq!(topic.received.len(), 2, "what was there is not sent again");

    // The option was for one start only, and is not needed any more.
    let _relay = store.relay().await;
    let last = store.publish("key", "last").await;
    topic.until_has([last]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_says_that_all_is_sent_again() {
    let (store, mut topic) = restored_elsewhere().await;
    let after = store.publish("key", "after").await;
    let mut settings = store.settings();
    settings.go_on_from = Some(GoOnFrom::All);
    let mut relay = outbox_relay::start(settings).await.unwrap();
    topic.until_has([after]).await;
    relay.stop().await.unwrap();
    assert_eq!(topic.received.len(), 3);
    assert_eq!(topic.received[1].id(), topic.received[0].id());
    assert_eq!(store.unacknowledged().await, 0);
}

/// A slow publisher holds up the restart, and the log says which session the relay waits for.
#[tokio::test(flavor = "multi_thread")]
async fn going_on_as_told_waits_for_open_transactions_and_says_so() {
    let (store, mut topic) = restored_elsewhere().await;
    let publisher = connect(&store.url).await;
    let open = "SET application_name = 'a slow service'; BEGIN;
                SELECT outbox_publish(gen_random_uuid(), 'notes', 'key', 'notes.noted.v1', '{}',
                  NULL, 3, 2)";
    publisher.batch_execute(open).await.unwrap();
    let relay = Process::start_with(&store, &[("RELAY_GO_ON_FROM", "now")]);
    until("it says for whom it waits", async || {
        relay.log().contains("a slow service")
    })
    .await;
    // Other publishers are not held up meanwhile.
    let other = tokio::time::timeout(
        Duration::from_secs(10),
        store.publish("other key", "meanwhile"),
    );
    other.await.expect("publishers wait for the restart");
    tokio::time::sleep(Duration::from_secs(3)).await;
    publisher.batch_execute("COMMIT").await.unwrap();
    until("the cursor is from here", async || {
        store
            .number("SELECT system_identifier FROM outbox_cursor")
            .await
            != 1
    })
    .await;
    let after = store.publish("key", "after").await;
    topic.until_has([after]).await;
}

/// A restored outbox may be large, and the role may have a time limit that its statements exceed.
#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_of_any_size_is_gone_on_from_whatever_limit_statements_have() {
    let (store, mut topic) = restored_elsewhere().await;
    let many = "SELECT count(outbox_publish(gen_random_uuid(), 'notes', 'key ' || n % 100,
                  'notes.noted.v1', '{}', NULL, 3, 2))
                FROM generate_series(1, 30000) n";
    store.number(many).await;
    let limit = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET statement_timeout = 10',
                 current_database()); END $$";
    store.client.batch_execute(limit).await.unwrap();
    let mut settings = store.settings();
    settings.go_on_from = Some(GoOnFrom::All);
    let _relay = outbox_relay::start(settings).await.unwrap();
    let all = store.committed().await.into_iter().map(|(_, id)| id);
    topic.until_has(all).await;
}

/// A store whose relay's role may not ask for the cluster's identifier.
async fn without_the_identifier() -> (Store, RelaySettings) {
    let store = Store::new().await;
    let taken = "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC";
    store.client.batch_execute(taken).await.unwrap();
    let settings = store.settings();
    (store, settings)
}

/// Checks that a relay with these settings sends what is published.
async fn sends(store: &Store, settings: RelaySettings) {
    let mut relay = outbox_relay::start(settings).await.unwrap();
    let sent = store.publish("key", "text").await;
    let mut topic = store.topic();
    tokio::select! {
        () = topic.until_has([sent]) => {}
        ended = relay.ended() => panic!("{ended:?}"),
    }
    relay.stop().await.unwrap();
}

async fn refusal(settings: RelaySettings) -> String {
    let mut relay = outbox_relay::start(settings).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(30), relay.ended());
    format!("{:#}", ended.await.expect("it goes on").unwrap_err())
}

/// Without the right to ask for the identifier, the cursor's row shows whether it was written here.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_may_not_ask_for_the_clusters_identifier_leads() {
    let (store, mut settings) = without_the_identifier().await;
    sends(&store, settings.clone()).await;
    sends(&store, settings.clone()).await;
    // A relay that may ask does not take it for another cluster.
    sends(&store, store.settings_by(&store.url)).await;
    // As in a restored dump, another transaction wrote the row.
    let restored = "UPDATE outbox_cursor SET saved_at = saved_at";
    store.client.batch_execute(restored).await.unwrap();
    let refused = refusal(settings.clone()).await;
    assert!(refused.contains("--go-on-from"), "{refused}");
    settings.go_on_from = Some(GoOnFrom::Now);
    let mut relay = outbox_relay::start(settings.clone()).await.unwrap();
    until("the cursor is from here", async || {
        store
            .number("SELECT system_identifier FROM outbox_cursor")
            .await
            == 1
    })
    .await;
    relay.stop().await.unwrap();
    settings.go_on_from = None;
    sends(&store, settings).await;
}

/// A cursor that an earlier version saved does not show where it was written.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_cannot_know_its_cluster_says_which_right_it_needs() {
    let (store, settings) = without_the_identifier().await;
    sends(&store, store.settings_by(&store.url)).await;
    let version_before = "UPDATE outbox_cursor SET saved_by = NULL";
    store.client.batch_execute(version_before).await.unwrap();
    let refused = refusal(settings).await;
    assert!(
        refused.contains("GRANT EXECUTE ON FUNCTION pg_control_system() TO relay"),
        "{refused}"
    );
}
