//! What a crash at any await of a delivery leaves behind, the next delivery goes on from. A request
//! that its client gave up ends the same way, and hands its connection back.

use backing::cancel_at_await;
use inbox::Outcome;
use kernel::{Class, EventId};

use crate::fixture::{Act, Fixture};

/// The least that begin, claim, handler and commit wait. The runtime has one thread, so that no
/// answer of the database is there before somebody has waited for it.
const FEWEST: i32 = 5;

/// Delivers events, each of which ends one await later than the one before, until they are handled;
/// then again what did not come to its end. How many awaits there were.
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
    assert!(awaits >= FEWEST, "{awaits} awaits");
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
    assert!(awaits >= FEWEST, "{awaits} awaits");
    assert!(fixture.effects_of("a").await.is_empty());
    assert_eq!(
        fixture.parked().await.len(),
        usize::try_from(awaits).unwrap() + 1
    );
}
