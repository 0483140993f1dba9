use std::sync::{Mutex, PoisonError};

use db::{DbError, LockedRow, Tx};
use diesel_async::AsyncPgConnection;
use inbox::Message;

use crate::fixture::{Act, Fixture, subscriptions, wait_for};

/// The kind and the keys of the rows that each statement locked, in order.
static LOCKED: Mutex<Vec<(&str, Vec<i64>)>> = Mutex::new(Vec::new());

fn note(what: &'static str, keys: Vec<i64>) {
    let mut locked = LOCKED.lock().unwrap_or_else(PoisonError::into_inner);
    locked.push((what, keys));
}

/// A row that an event's key names.
#[derive(Clone)]
struct Own;

impl LockedRow for Own {
    type Key = i64;
    const WHAT: &'static str = "saving nothing";
    async fn lock(_: &mut AsyncPgConnection, keys: Vec<i64>) -> Result<Vec<(i64, Self)>, DbError> {
        note("own", keys);
        Ok(Vec::new())
    }
    async fn update(_: &mut AsyncPgConnection, _: Vec<(i64, Self)>) -> Result<usize, DbError> {
        Ok(0)
    }
}

/// A row that events share.
#[derive(Clone)]
struct Shared;

impl LockedRow for Shared {
    type Key = i64;
    const WHAT: &'static str = "saving nothing";
    async fn lock(_: &mut AsyncPgConnection, keys: Vec<i64>) -> Result<Vec<(i64, Self)>, DbError> {
        note("shared", keys);
        Ok(Vec::new())
    }
    async fn update(_: &mut AsyncPgConnection, _: Vec<(i64, Self)>) -> Result<usize, DbError> {
        Ok(0)
    }
}

/// The larger an event's key is, the smaller is that of the row that it shares.
fn shared(_: &mut Tx<'_>, message: &Message) -> Vec<i64> {
    vec![1_000 - message.key.name().parse::<i64>().unwrap_or_default()]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_transaction_locks_what_is_the_events_own_and_then_what_they_share() {
    let fixture = Fixture::new(1).await;
    fixture.make("7", 0, Act::Fail(kernel::Class::Invalid));
    for n in 0..60 {
        fixture.send(0, &((n * 7 + 7) % 60).to_string(), n).await;
    }
    let consumer = subscriptions().lock::<Own>().then_lock::<Shared>(shared);
    let running = fixture.consume_with(consumer, "first").await;
    wait_for("all but one", async || fixture.effects().await.len() == 59).await;
    fixture.act_normally();
    fixture
        .run("UPDATE inbox_parked SET state = 'replay'")
        .await;
    wait_for("the one that was parked", async || {
        fixture.effects().await.len() == 60
    })
    .await;
    running.stop().await;
    let locked = LOCKED.lock().unwrap().clone();
    for pair in locked.chunks(2) {
        let [("own", own), ("shared", shared)] = pair else {
            panic!("{pair:?}");
        };
        assert!(own.is_sorted() && shared.is_sorted(), "{pair:?}");
        let of_own: Vec<i64> = own.iter().rev().map(|key| 1_000 - key).collect();
        assert_eq!(&of_own, shared);
    }
    assert!(
        locked.iter().any(|(_, keys)| keys.len() > 10),
        "they came one by one"
    );
    assert_eq!(locked.last().unwrap().1, [993], "the replay");
}
