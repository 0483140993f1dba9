use inbox::{Outcome, parked};
use kernel::{Class, EventId};

use crate::fixture::{Act, CONSUMER, Fixture, wait_for};

/// One event was parked and then discarded, and one was parked and then replayed.
async fn done_with() -> (Fixture, Vec<EventId>) {
    let fixture = Fixture::new(1).await;
    let mut ids = Vec::new();
    for key in ["discarded", "applied"] {
        fixture.make(key, 1, Act::Fail(Class::Invalid));
        let message = fixture.message(key, 1, EventId::now_v7());
        assert_eq!(fixture.deliver(&message).await.unwrap(), Outcome::Parked);
        ids.push(message.id);
    }
    fixture.act_normally();
    let (db, topic) = (&fixture.db, fixture.topic());
    parked::discard(db, CONSUMER, &topic, "discarded", "me")
        .await
        .unwrap();
    parked::replay(db, CONSUMER, &topic, "applied", "me")
        .await
        .unwrap();
    let running = fixture.consume().await;
    wait_for("the replay", async || {
        fixture.effects_of("applied").await == [1]
    })
    .await;
    running.stop().await;
    (fixture, ids)
}

/// Claims events as the inbox does. Returns the answers.
async fn claim(fixture: &Fixture, ids: &[EventId]) -> String {
    let list = |one: &dyn Fn(&EventId) -> String| ids.iter().map(one).collect::<Vec<_>>().join(",");
    let texts = |text: &str| list(&|_| format!("'{text}'"));
    fixture
        .text(&format!(
            "SELECT array_to_string(inbox_accept_all('{CONSUMER}', ARRAY[{}]::uuid[], ARRAY[{}],
               ARRAY[{}], ARRAY[{}], 7), ' ')",
            list(&|id| format!("'{id}'")),
            texts("type"),
            texts("notes"),
            texts("key"),
        ))
        .await
}

/// How many statements have inserted the rows: those of one statement share a command's number,
/// `cmin`.
async fn statements(fixture: &Fixture) -> i64 {
    fixture
        .number("SELECT count(DISTINCT cmin::text) FROM inbox WHERE type = 'type'")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_claimed_together_although_others_were_parked_once() {
    let (fixture, _) = done_with().await;
    let ids: Vec<_> = (0..20).map(|_| EventId::now_v7()).collect();
    assert_eq!(claim(&fixture, &ids).await, ["new"; 20].join(" "));
    assert_eq!(statements(&fixture).await, 1);
    assert_eq!(claim(&fixture, &ids).await, ["duplicate"; 20].join(" "));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_is_not_applied_when_it_comes_again() {
    let (fixture, ids) = done_with().await;
    let new = [EventId::now_v7(), EventId::now_v7()];
    let mixed = [new[0], ids[0], ids[1], new[1], new[0]];
    assert_eq!(
        claim(&fixture, &mixed).await,
        "new known duplicate new duplicate"
    );
    // Also when the inbox has forgotten the one that was applied.
    fixture.run("DELETE FROM inbox").await;
    assert_eq!(claim(&fixture, &ids).await, "known known");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_an_event_waits_those_of_its_key_are_behind_it() {
    let (fixture, _) = done_with().await;
    fixture.make("key", 1, Act::Fail(Class::Invalid));
    let waits = fixture.message("key", 1, EventId::now_v7());
    assert_eq!(fixture.deliver(&waits).await.unwrap(), Outcome::Parked);
    fixture
        .run(&format!(
            "UPDATE inbox_parked SET topic = 'notes' WHERE event_id = '{}'",
            waits.id
        ))
        .await;
    assert_eq!(claim(&fixture, &[EventId::now_v7()]).await, "behind");
}

/// PostgreSQL plans a function in SQL in each transaction that calls it: that made a claim cost six
/// times as much.
#[tokio::test(flavor = "multi_thread")]
async fn what_each_transaction_calls_is_planned_once_in_a_session() {
    let fixture = Fixture::new(1).await;
    let planned_anew = fixture
        .text(
            "SELECT coalesce(string_agg(proname, ' '), 'none') FROM pg_proc
             JOIN pg_language ON pg_language.oid = prolang
             WHERE lanname = 'sql' AND pronamespace = 'public'::regnamespace",
        )
        .await;
    assert_eq!(planned_anew, "none");
}
