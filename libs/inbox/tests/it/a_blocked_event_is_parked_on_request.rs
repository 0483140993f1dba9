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
        !blocked::list(&fixture.db, CONSUMER).await.unwrap().is_empty()
    })
    .await;
    let event = blocked::list(&fixture.db, CONSUMER).await.unwrap().remove(0);
    assert_eq!(event.event_id, id);
    assert_eq!((event.key.as_str(), event.partition), ("a", 0));
    assert_eq!(event.event_type, Noted::TYPE);
    assert_eq!(event.error, "the test wants it so");

    parked::request(&fixture.db, CONSUMER, EventId::now_v7(), "me")
        .await
        .unwrap();
    parked::request(&fixture.db, CONSUMER, id, "me").await.unwrap();
    until("the other key", async || {
        fixture.effects().await == [("b".to_owned(), 1)]
    })
    .await;
    until("the note to go", async || {
        blocked::list(&fixture.db, CONSUMER).await.unwrap().is_empty()
    })
    .await;
    let codes: Vec<_> = fixture.parked().await.into_iter().map(|(code, _)| code).collect();
    assert_eq!(codes, ["wanted", "behind"]);
    assert_eq!(fixture.metric("inbox_blocked_partitions"), "0");
    let audit = "SELECT count(*) FROM inbox_operations WHERE who = 'me' AND operation = 'park'";
    assert_eq!(fixture.number(audit).await, 2);

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
        !blocked::list(&fixture.db, CONSUMER).await.unwrap().is_empty()
    })
    .await;
    running.stop().await;
    assert_eq!(fixture.metric("inbox_blocked_partitions"), "0");
    assert_eq!(blocked::list(&fixture.db, CONSUMER).await.unwrap().len(), 1);
    fixture.mend();
    let running = fixture.consume().await;
    until("the note to go", async || {
        blocked::list(&fixture.db, CONSUMER).await.unwrap().is_empty()
    })
    .await;
    running.stop().await;
    assert_eq!(fixture.effects_of("a").await, [1]);
}
