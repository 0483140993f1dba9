use inbox::{InboxSettings, Outcome, parked};
use kernel::{Class, EventId};

use crate::fixture::{
    Act, CONSUMER, Fixture, Noted, SOURCE, headers, payload, settings, subscriptions, wait_for,
};
use kernel::Event;

#[tokio::test(flavor = "multi_thread")]
async fn the_class_decides_between_another_attempt_and_parking() {
    let fixture = Fixture::new(1).await;
    for class in Class::ALL {
        let key = class.label();
        fixture.make(key, 1, Act::Fail(class));
        let outcome = fixture
            .deliver(&fixture.message(key, 1, EventId::now_v7()))
            .await;
        if let Class::Unavailable | Class::Bug = class {
            assert_eq!(outcome.unwrap_err().class, class);
        } else {
            assert_eq!(outcome.unwrap(), Outcome::Parked, "{class:?}");
        }
    }
    assert_eq!(fixture.effects().await, [], "what failed has no effect");
    assert_eq!(fixture.parked().await.len(), Class::ALL.len() - 2);
    assert_eq!(fixture.number("SELECT count(*) FROM inbox").await, 0);
    let reasons = "SELECT count(*) FROM inbox_parked
                   WHERE code = 'wanted' AND reason = 'the test wants it so'";
    assert_eq!(fixture.number(reasons).await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_work_later_holds_its_partition_until_it_does() {
    for act in [
        Act::Fail(Class::Unavailable),
        Act::Fail(Class::Bug),
        Act::Panic,
    ] {
        let fixture = Fixture::new(2).await;
        fixture.make("a", 1, act);
        fixture.send(0, "a", 1).await;
        fixture.send(0, "b", 1).await;
        let running = fixture.consume().await;
        wait_for("the note", async || {
            fixture
                .number("SELECT count(*) FROM inbox_blocked WHERE attempts > 2")
                .await
                == 1
        })
        .await;
        fixture.send(1, "c", 1).await;
        wait_for("the other partition", async || {
            fixture.effects_of("c").await == [1]
        })
        .await;
        assert_eq!(
            fixture.effects().await.len(),
            1,
            "nothing of the partition that waits"
        );
        assert_eq!(fixture.metric("inbox_blocked_partitions"), "1");
        fixture.act_normally();
        wait_for("the partition", async || {
            fixture.effects_of("b").await == [1]
        })
        .await;
        wait_for("the note to go", async || {
            fixture.number("SELECT count(*) FROM inbox_blocked").await == 0
        })
        .await;
        running.stop().await;
        assert_eq!(fixture.effects_of("a").await, [1]);
        assert_eq!(fixture.metric("inbox_blocked_partitions"), "0");
        assert_eq!(fixture.parked().await, []);
    }
}

/// A defect of a handler that only one event meets holds up the events behind it only for a time.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_handler_has_a_defect_is_parked_after_a_time_with_its_key() {
    for act in [Act::Fail(Class::Bug), Act::Panic] {
        let fixture = Fixture::new(1).await;
        fixture.make("a", 1, act);
        for n in 1..=3 {
            fixture.send(0, "a", n).await;
            fixture.send(0, "b", n).await;
        }
        let patient = InboxSettings {
            inbox_bug_seconds: 2,
            ..settings()
        };
        let running = fixture
            .consume_set(subscriptions(), "first", &patient)
            .await;
        wait_for("some attempts", async || {
            fixture
                .number("SELECT count(*) FROM inbox_blocked WHERE attempts > 4")
                .await
                == 1
        })
        .await;
        assert_eq!(
            fixture.effects().await,
            [],
            "the next release may correct it"
        );
        wait_for("the others", async || {
            fixture.effects_of("b").await == [1, 2, 3]
        })
        .await;
        wait_for("the note to go", async || {
            fixture.number("SELECT count(*) FROM inbox_blocked").await == 0
        })
        .await;
        let parked = parked::list(&fixture.db, CONSUMER).await.unwrap();
        let codes: Vec<_> = parked.iter().map(|event| event.code.as_str()).collect();
        assert_eq!(codes, ["bug", "behind", "behind"]);
        assert!(
            parked[0].reason.contains("the test wants it so"),
            "{}",
            parked[0].reason
        );
        assert_eq!(fixture.metric("inbox_blocked_partitions"), "0");
        // The next release has no such defect.
        fixture.act_normally();
        parked::replay(&fixture.db, CONSUMER, &fixture.topic(), "a", "me")
            .await
            .unwrap();
        wait_for("its key", async || {
            fixture.effects_of("a").await == [1, 2, 3]
        })
        .await;
        running.stop().await;
    }
}

/// An outage says nothing about the event, so it is not parked.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_at_the_moment_is_waited_for_however_long_that_is() {
    let fixture = Fixture::new(1).await;
    fixture.make("a", 1, Act::Fail(Class::Unavailable));
    fixture.send(0, "a", 1).await;
    let impatient = InboxSettings {
        inbox_bug_seconds: 1,
        ..settings()
    };
    let running = fixture
        .consume_set(subscriptions(), "first", &impatient)
        .await;
    wait_for("many attempts", async || {
        fixture
            .number("SELECT count(*) FROM inbox_blocked WHERE since < now() - interval '3 s'")
            .await
            == 1
    })
    .await;
    assert_eq!(fixture.parked().await, []);
    fixture.act_normally();
    wait_for("the event", async || fixture.effects_of("a").await == [1]).await;
    running.stop().await;
}

/// The first six messages are no events; the consumer has no handler for the seventh.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_nobody_can_read_is_parked_and_stops_nobody() {
    let fixture = Fixture::new(1).await;
    let id = || ("ce_id", EventId::now_v7().to_string());
    let of_type = |name: &str| ("ce_type", name.to_owned());
    let source = || ("ce_source", SOURCE.to_owned());
    let good = payload("a", 1);
    fixture
        .send_raw(
            0,
            Some("b"),
            "{",
            headers(&[id(), of_type(Noted::TYPE), source()]),
        )
        .await;
    fixture
        .send_raw(
            0,
            Some("c"),
            r#"{"key":"c"}"#,
            headers(&[id(), of_type(Noted::TYPE), source()]),
        )
        .await;
    fixture
        .send_raw(
            0,
            Some("d"),
            &good,
            headers(&[of_type(Noted::TYPE), source()]),
        )
        .await;
    fixture
        .send_raw(0, Some("e"), &good, headers(&[id()]))
        .await;
    fixture
        .send_raw(
            0,
            None,
            &good,
            headers(&[id(), of_type(Noted::TYPE), source()]),
        )
        .await;
    fixture.send_raw(0, Some("f"), "", headers(&[])).await;
    fixture
        .send_raw(0, None, "", headers(&[of_type("notes.torn.v1")]))
        .await;
    fixture.send(0, "a", 1).await;
    let running = fixture.consume().await;
    wait_for("the good one", async || {
        fixture.effects_of("a").await == [1]
    })
    .await;
    running.stop().await;
    let parked = fixture.parked().await;
    assert!(
        parked
            .iter()
            .all(|(code, state)| code == "unreadable_event" && state == "parked"),
        "{parked:?}"
    );
    assert_eq!(parked.len(), 6, "{parked:?}");
    assert_eq!(fixture.counted("ignored"), "1");
    assert_eq!(fixture.committed(0).await, 8);

    // Kafka delivers a message without an id again: the inbox knows it by its position.
    fixture.run("DELETE FROM inbox").await;
    let mut unreadable = fixture.message("f", 0, EventId::now_v7());
    unreadable.id = fixture.first_parked("f").await;
    unreadable.unreadable = Some("again");
    assert_eq!(
        fixture.deliver(&unreadable).await.unwrap(),
        Outcome::Duplicate
    );
    assert_eq!(fixture.parked().await.len(), 6);
}
