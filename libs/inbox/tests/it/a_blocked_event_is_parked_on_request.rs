use inbox::{blocked, parked};
use kernel::{Class, EventId};

use crate::fixture::{Act, CONSUMER, Fixture, Noted, wait_for};
use kernel::Event;

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_moves_it_out_of_the_way() {
    let fixture = Fixture::new(1).await;
    fixture.make("a", 1, Act::Fail(Class::Bug));
    let id = fixture.send(0, "a", 1).await;
    fixture.send(0, "a", 2).await;
    fixture.send(0, "b", 1).await;
    let running = fixture.consume().await;
    wait_for("the note", async || {
        !blocked::list(&fixture.db, CONSUMER)
            .await
            .unwrap()
            .is_empty()
    })
    .await;
    let event = blocked::list(&fixture.db, CONSUMER)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(event.event_id, id);
    assert_eq!((event.key.as_str(), event.partition), ("a", 0));
    assert_eq!(event.event_type, Noted::TYPE);
    assert_eq!(event.error, "the test wants it so");

    let unknown = parked::request(&fixture.db, CONSUMER, EventId::now_v7(), "me").await;
    assert!(!unknown.unwrap());
    assert!(
        parked::request(&fixture.db, CONSUMER, id, "me")
            .await
            .unwrap()
    );
    wait_for("the other key", async || {
        fixture.effects().await == [("b".to_owned(), 1)]
    })
    .await;
    wait_for("the note to go", async || {
        blocked::list(&fixture.db, CONSUMER)
            .await
            .unwrap()
            .is_empty()
    })
    .await;
    let codes: Vec<_> = fixture
        .parked()
        .await
        .into_iter()
        .map(|(code, _)| code)
        .collect();
    assert_eq!(codes, ["wanted", "behind"]);
    assert_eq!(fixture.metric("inbox_blocked_partitions"), "0");
    let audit = "SELECT count(*) FROM inbox_operations WHERE who = 'me' AND operation = 'park'";
    assert_eq!(fixture.number(audit).await, 1);

    fixture.act_normally();
    parked::replay(&fixture.db, CONSUMER, &fixture.topic(), "a", "me")
        .await
        .unwrap();
    wait_for("its key", async || fixture.effects_of("a").await == [1, 2]).await;
    running.stop().await;
}

/// A replica that has stopped since recorded the wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_note_does_not_outlive_the_wait() {
    let fixture = Fixture::new(1).await;
    fixture.make("a", 1, Act::Fail(Class::Unavailable));
    fixture.send(0, "a", 1).await;
    let running = fixture.consume().await;
    wait_for("the note", async || {
        !blocked::list(&fixture.db, CONSUMER)
            .await
            .unwrap()
            .is_empty()
    })
    .await;
    running.stop().await;
    assert_eq!(fixture.metric("inbox_blocked_partitions"), "0");
    assert_eq!(blocked::list(&fixture.db, CONSUMER).await.unwrap().len(), 1);
    fixture.act_normally();
    let running = fixture.consume().await;
    wait_for("the note to go", async || {
        blocked::list(&fixture.db, CONSUMER)
            .await
            .unwrap()
            .is_empty()
    })
    .await;
    running.stop().await;
    assert_eq!(fixture.effects_of("a").await, [1]);
}

/// A request counts only for the wait that it was made in: if the event fails again later, it is
/// not parked.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_used_up_when_the_event_recovers() {
    let fixture = Fixture::new(1).await;
    fixture.make("a", 1, Act::Fail(Class::Unavailable));
    let id = fixture.send(0, "a", 1).await;
    let running = fixture.consume().await;
    wait_for("the note", async || {
        !blocked::list(&fixture.db, CONSUMER)
            .await
            .unwrap()
            .is_empty()
    })
    .await;
    running.stop().await;
    // No consumer runs, so none reads the request before the event recovers.
    assert!(
        parked::request(&fixture.db, CONSUMER, id, "me")
            .await
            .unwrap()
    );
    fixture.act_normally();
    let running = fixture.consume().await;
    wait_for("the event", async || fixture.effects_of("a").await == [1]).await;
    wait_for("the note to go", async || {
        blocked::list(&fixture.db, CONSUMER)
            .await
            .unwrap()
            .is_empty()
    })
    .await;
    running.stop().await;
    assert_eq!(
        fixture
            .number("SELECT count(*) FROM inbox_park_requests")
            .await,
        0
    );
    assert!(
        !parked::request(&fixture.db, CONSUMER, id, "me")
            .await
            .unwrap()
    );
    assert_eq!(fixture.parked().await, []);
}

/// The event is parked, as the operator requested.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_used_up_when_it_is_fulfilled() {
    let fixture = Fixture::new(1).await;
    fixture.make("a", 1, Act::Fail(Class::Unavailable));
    let id = fixture.send(0, "a", 1).await;
    let running = fixture.consume().await;
    wait_for("the note", async || {
        !blocked::list(&fixture.db, CONSUMER)
            .await
            .unwrap()
            .is_empty()
    })
    .await;
    assert!(
        parked::request(&fixture.db, CONSUMER, id, "me")
            .await
            .unwrap()
    );
    wait_for("the event to be parked", async || {
        fixture.parked().await.len() == 1
    })
    .await;
    wait_for("the request to go", async || {
        fixture
            .number("SELECT count(*) FROM inbox_park_requests")
            .await
            == 0
    })
    .await;
    running.stop().await;
}
