use inbox::Outcome;
use kernel::{Class, EventId};

use crate::fixture::{Act, Fixture, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_kafka_delivers_three_times_is_applied_once() {
    let fixture = Fixture::new(1).await;
    let id = fixture.send(0, "a", 1).await;
    fixture.send_again(0, "a", 1, id).await;
    let running = fixture.consume().await;
    wait_for("the first two", async || {
        fixture.counted("duplicate") == "1"
    })
    .await;
    fixture.send_again(0, "a", 1, id).await;
    wait_for("the third", async || fixture.counted("duplicate") == "2").await;
    running.stop().await;
    assert_eq!(fixture.effects().await, [("a".to_owned(), 1)]);
    assert_eq!(fixture.counted("applied"), "1");
    assert_eq!(fixture.committed(0).await, 3);
}

/// A crash between the commit and the storing of the offset: the event is applied, and the group
/// does not know it.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_applied_before_a_crash_is_not_applied_after_it() {
    let fixture = Fixture::new(1).await;
    let id = fixture.send(0, "a", 1).await;
    let delivered = fixture.deliver(&fixture.message("a", 1, id)).await;
    assert_eq!(delivered.unwrap(), Outcome::Applied);
    let running = fixture.consume().await;
    fixture.send(0, "a", 2).await;
    wait_for("the next one", async || {
        fixture.effects_of("a").await.contains(&2)
    })
    .await;
    running.stop().await;
    assert_eq!(fixture.effects_of("a").await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_deliveries_at_once_one_has_the_effect() {
    let fixture = Fixture::new(1).await;
    fixture.make("a", 1, Act::Wait);
    let message = fixture.message("a", 1, EventId::now_v7());
    let (one, other, ()) = tokio::join!(
        fixture.deliver(&message),
        fixture.deliver(&message),
        async {
            let waiting = "SELECT count(*) FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
            wait_for("one to wait for the other", async || {
                fixture.number(waiting).await == 1
            })
            .await;
            fixture.open_gate();
        }
    );
    let mut outcomes = [one.unwrap(), other.unwrap()];
    outcomes.sort_by_key(|outcome| *outcome == Outcome::Duplicate);
    assert_eq!(outcomes, [Outcome::Applied, Outcome::Duplicate]);
    assert_eq!(fixture.effects_of("a").await, [1]);
}

/// A partition has two owners for a moment. The previous owner fails at an event that the next one
/// applies; the next one begins at each await of the previous one.
#[tokio::test]
async fn an_event_is_applied_or_parked_and_never_both() {
    let fixture = Fixture::new(1).await;
    let refusing = fixture.state_of_its_own();
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    for n in 0.. {
        refusing.make("a", n, Act::Fail(Class::Invalid));
        let message = fixture.message("a", n, EventId::now_v7());
        let mut first = Box::pin(fixture.deliver_with(&refusing, &message));
        if backing::cancel_at_await(&mut first, usize::try_from(n).unwrap())
            .await
            .is_some()
        {
            break;
        }
        // It ends by itself, unless it has to wait for a row that the first one has locked.
        let mut second = Box::pin(fixture.deliver(&message));
        let alone = tokio::select! {
            outcome = &mut second => Some(outcome),
            () = wait_for("a lock", async || fixture.number(waiting).await == 1) => None,
        };
        let (first, second) = if let Some(second) = alone {
            (first.await, second)
        } else {
            tokio::join!(first, second)
        };
        let mut outcomes = [first.unwrap(), second.unwrap()];
        outcomes.sort_by_key(|outcome| *outcome == Outcome::Duplicate);
        assert!(
            [
                [Outcome::Applied, Outcome::Duplicate],
                [Outcome::Parked, Outcome::Duplicate]
            ]
            .contains(&outcomes),
            "at await {n}: {outcomes:?}"
        );
    }
    let both = "SELECT count(*) FROM inbox JOIN inbox_parked USING (consumer, event_id)";
    assert_eq!(fixture.number(both).await, 0);
    let (applied, parked) = (fixture.effects().await.len(), fixture.parked().await.len());
    assert!(
        applied > 0 && parked > 0,
        "{applied} applied, {parked} parked"
    );
}
