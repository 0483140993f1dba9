//! After a crash at any await, the next relay goes on without loss.

use std::collections::{BTreeMap, BTreeSet};

use backing::cancel_at_await;
use db::Tx;
use outbox::{log::Session, parked};
use outbox_relay::RelaySettings;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    kafka::by_key,
    parked::{key, large, parked as parked_events},
    store::{Abort, Store, noted, publish, until},
};

const WHOLE: usize = 3;

/// Runs relays of which each is ended one await later than the one before, until several have ended
/// by themselves with everything sent; returns how many awaits there were.
async fn each_await(
    store: &Store,
    settings: RelaySettings,
    publish: impl AsyncFn(usize) -> bool,
) -> usize {
    // A relay that is told to stop at once sends what is committed, and ends.
    let stop = CancellationToken::new();
    stop.cancel();
    let (mut awaits, mut whole) = (0, 0);
    while whole < WHOLE {
        let is_new = publish(awaits).await;
        let ended =
            cancel_at_await(outbox_relay::run(settings.clone(), stop.clone()), awaits).await;
        if let Some(outcome) = ended {
            outcome.unwrap();
            whole += usize::from(is_new);
        }
        // PostgreSQL notices a moment later that the session has ended.
        until("no relay leads", async || {
            !outbox::log::status(&store.client).await.unwrap().has_relay
        })
        .await;
        awaits += 1;
    }
    awaits
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_ends_at_any_await_loses_nothing_and_keeps_the_order() {
    let store = Store::new().await;
    let mut settings = store.settings();
    // More events than a page, so that the relay reads large differences, too.
    settings.page = 2;
    let awaits = each_await(&store, settings, async |awaits| {
        for key in ["a", "b", "a"] {
            store.publish(key, &awaits.to_string()).await;
        }
        let aborted = store.db.transaction(
            "test.abort",
            async move |tx: &mut Tx<'_>| -> Result<Uuid, Abort> {
                publish(tx, &noted("a", "aborted")).await?;
                Err(Abort::OnPurpose)
            },
        );
        aborted.await.unwrap_err();
        true
    })
    .await;
    assert!(awaits > 30, "{awaits} awaits");
    assert_eq!(store.unacknowledged().await, 0);
    let committed = store.committed().await;
    assert_eq!(committed.len(), 3 * awaits);
    let mut topic = store.topic();
    topic.until_has(committed.iter().map(|(_, id)| *id)).await;
    assert_eq!(topic.first_occurrences(), by_key(committed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_ends_at_any_await_puts_aside_what_kafka_refuses_and_what_is_behind_it() {
    let store = Store::with_topic(1, &[("max.message.bytes", "3000")]).await;
    let awaits = each_await(&store, store.settings(), async |awaits| {
        // Parking takes a relay many more awaits than sending: new events only after all are
        // parked.
        if store.unacknowledged().await > 0 {
            return false;
        }
        let refused = format!("refused {awaits}");
        store.publish(&refused, &large("first")).await;
        store.publish("taken", &awaits.to_string()).await;
        store.publish(&refused, "behind").await;
        true
    })
    .await;
    assert!(awaits > 60, "{awaits} awaits");
    assert_eq!(store.unacknowledged().await, 0);
    let mut keys: BTreeMap<String, Vec<Uuid>> = by_key(store.committed().await);
    let taken = keys.remove("taken").unwrap();
    let mut topic = store.topic();
    topic.until_has(taken.iter().copied()).await;
    assert_eq!(
        topic.first_occurrences(),
        BTreeMap::from([("taken".to_owned(), taken)])
    );
    let mut refused: Vec<Uuid> = keys.into_values().flatten().collect();
    let mut parked: Vec<Uuid> = parked_events(&store)
        .await
        .into_iter()
        .map(|(id, ..)| id)
        .collect();
    refused.sort_unstable();
    parked.sort_unstable();
    assert_eq!(parked, refused);
}

/// Otherwise the next relay would send the events behind it before it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_again_is_parked_with_all_that_waits_behind_it_or_nothing_of_it_is() {
    let mut store = Store::with_topic(1, &[("max.message.bytes", "3000")]).await;
    store.publish("refused", &large("first")).await;
    store.publish("refused", "behind").await;
    store.publish("refused", "behind both").await;
    let mut relay = store.relay().await;
    until("three events are parked", async || {
        parked_events(&store).await.len() == 3
    })
    .await;
    relay.stop().await.unwrap();
    let (mut awaits, mut whole) = (0, 0);
    while whole < WHOLE {
        parked::replay(&mut store.client, &key("refused"), "an operator")
            .await
            .unwrap();
        let session = Session::open(&store.settings().postgres, "cut")
            .await
            .unwrap();
        let first = session
            .next_in_replay(&key("refused"))
            .await
            .unwrap()
            .unwrap();
        let parked_again = session.park_again(first.position(), "too large");
        let ended = cancel_at_await(parked_again, awaits).await;
        whole += usize::from(ended.is_some());
        drop(session);
        // PostgreSQL still executes what was sent to it.
        until("the session has ended", async || {
            let sessions = "SELECT count(*) FROM pg_stat_activity
                            WHERE datname = current_database() AND application_name = 'cut'";
            store.number(sessions).await == 0
        })
        .await;
        let states: BTreeSet<String> = parked_events(&store)
            .await
            .into_iter()
            .map(|(_, state, _)| state)
            .collect();
        assert_eq!(states.len(), 1, "after {awaits} awaits: {states:?}");
        awaits += 1;
    }
    assert!(awaits > WHOLE, "it ended at no await");
}
