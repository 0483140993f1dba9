use inbox::{Outcome, parked};
use kernel::{Class, EventId};

use crate::fixture::{Act, CONSUMER, Fixture, wait_for};

fn all(state: &str, codes: &[&str]) -> Vec<(String, String)> {
    codes
        .iter()
        .map(|code| ((*code).to_owned(), state.to_owned()))
        .collect()
}

/// Events 1 to 3 of the key `a` are parked: the domain refuses the first one.
async fn parked() -> (Fixture, inbox::Running) {
    let fixture = Fixture::new(1).await;
    fixture.make("a", 1, Act::Fail(Class::Invalid));
    for n in 1..=3 {
        fixture.send(0, "a", n).await;
        fixture.send(0, "b", n).await;
    }
    let running = fixture.consume().await;
    wait_for("the other key", async || {
        fixture.effects_of("b").await == [1, 2, 3]
    })
    .await;
    assert_eq!(
        fixture.parked().await,
        all("parked", &["wanted", "behind", "behind"])
    );
    (fixture, running)
}

#[tokio::test(flavor = "multi_thread")]
async fn later_events_wait_behind_it_and_a_replay_applies_them_in_order() {
    let (fixture, running) = parked().await;
    fixture.act_normally();
    let (db, topic) = (&fixture.db, fixture.topic());
    assert_eq!(
        parked::replay(db, CONSUMER, &topic, "a", "me")
            .await
            .unwrap(),
        3
    );
    for n in 4..=20 {
        fixture.send(0, "a", n).await;
    }
    wait_for("the key", async || {
        fixture.effects_of("a").await.len() == 20
    })
    .await;
    running.stop().await;
    assert_eq!(fixture.effects_of("a").await, (1..=20).collect::<Vec<_>>());
    assert!(
        fixture
            .parked()
            .await
            .iter()
            .all(|(_, state)| state == "applied")
    );
    let recorded = "SELECT count(*) FROM inbox_operations
                    WHERE who = 'me' AND operation = 'replay' AND details->>'events' = '3'";
    assert_eq!(fixture.number(recorded).await, 1);
    assert_eq!(parked::list(db, CONSUMER).await.unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_event_that_comes_again_is_known() {
    let (fixture, running) = parked().await;
    running.stop().await;
    for state in ["parked", "replay", "discarded"] {
        fixture
            .run(&format!("UPDATE inbox_parked SET state = '{state}'"))
            .await;
        for event in parked::list(&fixture.db, CONSUMER).await.unwrap() {
            let again = fixture.message("a", 1, event.event_id);
            assert_eq!(fixture.deliver(&again).await.unwrap(), Outcome::Duplicate);
        }
    }
    assert_eq!(fixture.parked().await.len(), 3);
    assert!(fixture.effects_of("a").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_fails_again_stays_with_its_new_reason() {
    let (fixture, running) = parked().await;
    fixture.make("a", 1, Act::Fail(Class::Bug));
    fixture.make("a", 2, Act::Fail(Class::NotFound));
    let (db, topic) = (&fixture.db, fixture.topic());
    fixture
        .run("UPDATE inbox_parked SET code = 'old', reason = 'old'")
        .await;
    parked::replay(db, CONSUMER, &topic, "a", "me")
        .await
        .unwrap();
    wait_for("the first to fail", async || {
        fixture.parked().await == all("parked", &["wanted", "old", "old"])
    })
    .await;
    fixture.act_normally();
    fixture.make("a", 2, Act::Fail(Class::NotFound));
    parked::replay(db, CONSUMER, &topic, "a", "me")
        .await
        .unwrap();
    wait_for("the second to fail", async || {
        let states = fixture.parked().await;
        states[0].1 == "applied" && states[1..] == all("parked", &["wanted", "old"])
    })
    .await;
    fixture.send(0, "a", 4).await;
    wait_for("the fourth", async || fixture.parked().await.len() == 4).await;
    running.stop().await;
    assert_eq!(fixture.effects_of("a").await, [1]);
}

/// The events hold up no partition, so they stay in replay until they can be applied.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_cannot_be_done_now_is_done_later() {
    let (fixture, running) = parked().await;
    fixture.make("a", 1, Act::Fail(Class::Unavailable));
    let (db, topic) = (&fixture.db, fixture.topic());
    parked::replay(db, CONSUMER, &topic, "a", "me")
        .await
        .unwrap();
    fixture.send(0, "a", 4).await;
    wait_for("the fourth behind them", async || {
        fixture.parked().await == all("replay", &["wanted", "behind", "behind", "behind"])
    })
    .await;
    fixture.act_normally();
    wait_for("the key", async || {
        fixture.effects_of("a").await == [1, 2, 3, 4]
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_discarded_lets_later_events_go_on_and_can_still_be_replayed() {
    let (fixture, running) = parked().await;
    let (db, topic) = (&fixture.db, fixture.topic());
    assert_eq!(
        parked::discard(db, CONSUMER, &topic, "a", "me")
            .await
            .unwrap(),
        3
    );
    fixture.send(0, "a", 4).await;
    wait_for("the fourth", async || fixture.effects_of("a").await == [4]).await;
    fixture.act_normally();
    assert_eq!(
        parked::replay(db, CONSUMER, &topic, "a", "me")
            .await
            .unwrap(),
        3
    );
    wait_for("the others", async || {
        fixture.effects_of("a").await == [4, 1, 2, 3]
    })
    .await;
    running.stop().await;
    let operations =
        "SELECT count(*) FROM inbox_operations WHERE operation IN ('discard', 'replay')";
    assert_eq!(fixture.number(operations).await, 2);
}

/// An operator's statement may miss an event that is being parked behind others at that moment.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_replay_overtakes_what_is_still_parked() {
    let (fixture, running) = parked().await;
    fixture.act_normally();
    fixture
        .run(
            "UPDATE inbox_parked SET state = 'replay'
             WHERE seq <> (SELECT min(seq) + 1 FROM inbox_parked)",
        )
        .await;
    wait_for("the first", async || fixture.effects_of("a").await == [1]).await;
    // By the time that this event is parked, the consumer has polled for replays once more.
    fixture.send(0, "a", 4).await;
    wait_for("the fourth behind them", async || {
        fixture.parked().await.len() == 4
    })
    .await;
    assert_eq!(fixture.effects_of("a").await, [1]);
    parked::replay(&fixture.db, CONSUMER, &fixture.topic(), "a", "me")
        .await
        .unwrap();
    wait_for("all", async || fixture.effects_of("a").await.len() == 4).await;
    running.stop().await;
    assert_eq!(fixture.effects_of("a").await, [1, 2, 3, 4]);
}

/// The last parked event is being replayed while the next one of its key arrives.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_arrives_during_the_last_replay_waits_for_it() {
    let fixture = Fixture::new(1).await;
    fixture.make("a", 1, Act::Fail(Class::Invalid));
    let first = fixture.message("a", 1, EventId::now_v7());
    assert_eq!(fixture.deliver(&first).await.unwrap(), Outcome::Parked);
    fixture.make("a", 1, Act::Wait);
    let running = fixture.consume().await;
    parked::replay(&fixture.db, CONSUMER, &fixture.topic(), "a", "me")
        .await
        .unwrap();
    let second = fixture.message("a", 2, EventId::now_v7());
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database =
                 (SELECT oid FROM pg_database WHERE datname = current_database()) AND ";
    wait_for("the replay", async || {
        fixture.number(&format!("{locks} granted")).await == 1
    })
    .await;
    let (outcome, ()) = tokio::join!(fixture.deliver(&second), async {
        wait_for("the second to wait", async || {
            fixture.number(&format!("{locks} NOT granted")).await == 1
        })
        .await;
        fixture.open_gate();
    });
    assert_eq!(outcome.unwrap(), Outcome::Applied);
    running.stop().await;
    assert_eq!(fixture.effects_of("a").await, [1, 2]);
}
