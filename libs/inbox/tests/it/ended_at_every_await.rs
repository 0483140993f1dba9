//! A delivery may end at any of its awaits, as in a crash: the next delivery goes on from what it
//! left. A request whose client has disconnected ends the same way, and gives its connection back.

use backing::cancel_at_await;
use inbox::Outcome;
use kernel::{Class, EventId};

use crate::fixture::{Act, Fixture};

/// The fewest awaits of a delivery: begin, claim, handler and commit. The runtime has one thread,
/// so that each answer of the database is awaited.
const AWAITS_MIN: i32 = 5;

/// Delivers event after event, and ends each delivery one await later than the one before, until
/// one comes to its end. Each event is then delivered again. Returns the number of awaits.
async fn each_await(fixture: &Fixture, prepare: impl Fn(i32), outcome: Outcome) -> i32 {
    for n in 0.. {
        prepare(n);
        let message = fixture.message("a", n, EventId::now_v7());
        let awaits = usize::try_from(n).unwrap();
        if let Some(ended) = cancel_at_await(fixture.deliver(&message), awaits).await {
            assert_eq!(ended.unwrap(), outcome);
            return n;
        }
        let again = fixture.deliver(&message).await.unwrap();
        assert!([outcome, Outcome::Duplicate].contains(&again), "{again:?}");
        assert_eq!(fixture.deliver(&message).await.unwrap(), Outcome::Duplicate);
    }
    unreachable!("a delivery ends")
}

#[tokio::test]
async fn an_event_whose_delivery_ends_at_any_await_is_applied_once() {
    let fixture = Fixture::new(1).await;
    let awaits = each_await(&fixture, |_| {}, Outcome::Applied).await;
    assert!(awaits >= AWAITS_MIN, "{awaits} awaits");
    assert_eq!(
        fixture.effects_of("a").await,
        (0..=awaits).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn an_event_whose_delivery_ends_at_any_await_is_parked_once() {
    let fixture = Fixture::new(1).await;
    let refuse = |n| fixture.make("a", n, Act::Fail(Class::Invalid));
    let awaits = each_await(&fixture, refuse, Outcome::Parked).await;
    assert!(awaits >= AWAITS_MIN, "{awaits} awaits");
    assert!(fixture.effects_of("a").await.is_empty());
    assert_eq!(
        fixture.parked().await.len(),
        usize::try_from(awaits).unwrap() + 1
    );
}
