use inbox::{blocked, parked};
use kernel::{Class, EventId};

use crate::fixture::{Act, CONSUMER, Fixture, Noted, until};
use kernel::Event;

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_moves_it_out_of_the_way() {
    let fixture = Fixture::new(1).await;
    fixture.make("a", 1, Act::Fail(Class::Bug));
    let id = fixture.send(0, "a", 1).await;
    fixture.send(0, "a", 2).await;
    fixture.send(0, "b", 1).await;
    let running = fixture.consume().await;
    until("the note", async || {
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

    let nothing_waits_for_it =
        parked::request(&fixture.db, CONSUMER, EventId::now_v7(), "me").await;
    assert!(!nothing_waits_for_it.unwrap());
    assert!(
        parked::request(&fixture.db, CONSUMER, id, "me")
            .await
            .unwrap()
    );
    until("the other key", async || {
        fixture.effects().await == [("b".to_owned(), 1)]
    })
    .await;
    until("the note to go", async || {
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

    fixture.mend();
    parked::replay(&fixture.db, CONSUMER, &fixture.topic(), "a", "me")
        .await
        .unwrap();
    until("its key", async || fixture.effects_of("a").await == [1, 2]).await;
    running.stop().await;
}

/// The note was written by a replica that is no more.
#[tokio::test(flavor = "multi_thread")]
async fn a_note_does_not_outlive_the_wait() {
    let fixture = Fixture::new(1).await;
    fixture.make("a", 1, Act::Fail(Class::Unavailable));
    fixture.send(0, "a", 1).await;
    let running = fixture.consume().await;
    until("the note", async || {
        !blocked::list(&fixture.db, CONSUMER)
            .await
            .unwrap()
            .is_empty()
    })
    .await;
    running.stop().await;
    assert_eq!(fixture.metric("inbox_blocked_partitions"), "0");
    assert_eq!(blocked::list(&fixture.db, CONSUMER).await.unwrap().len(), 1);
    fixture.mend();
    let running = fixture.consume().await;
    until("the note to go", async || {
        blocked::list(&fixture.db, CONSUMER)
            .await
            .unwrap()
            .is_empty()
    })
    .await;
    running.stop().await;
    assert_eq!(fixture.effects_of("a").await, [1]);
}

/// It need not be put aside any more, and must not be when it fails another time.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_used_up_when_the_event_recovers() {
    let fixture = Fixture::new(1).await;
    fixture.make("a", 1, Act::Fail(Class::Unavailable));
    let id = fixture.send(0, "a", 1).await;
    let running = fixture.consume().await;
    until("the note", async || {
        !blocked::list(&fixture.db, CONSUMER)
            .await
            .unwrap()
            .is_empty()
    })
    .await;
    running.stop().await;
    // No consumer is there to see it before the event recovers.
    assert!(
        parked::request(&fixture.db, CONSUMER, id, "me")
            .await
            .unwrap()
    );
    fixture.mend();
    let running = fixture.consume().await;
    until("the event", async || fixture.effects_of("a").await == [1]).await;
    until("the note to go", async || {
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

/// Parked it is out of the way, and what was asked for is done.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_used_up_when_it_is_fulfilled() {
    let fixture = Fixture::new(1).await;
    fixture.make("a", 1, Act::Fail(Class::Unavailable));
    let id = fixture.send(0, "a", 1).await;
    let running = fixture.consume().await;
    until("the note", async || {
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
    until("the event to be parked", async || {
        fixture.parked().await.len() == 1
    })
    .await;
    until("the request to go", async || {
        fixture
            .number("SELECT count(*) FROM inbox_park_requests")
            .await
            == 0
    })
    .await;
    running.stop().await;
}
