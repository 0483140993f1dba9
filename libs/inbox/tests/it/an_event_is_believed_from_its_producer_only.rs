use inbox::{Message, Outcome, parked};
use kernel::EventId;

use crate::fixture::{CONSUMER, Fixture, wait_for};

/// The same event as other producers might write it: on a topic of theirs, or under their name.
fn imitations(fixture: &Fixture, event: &Message) -> Vec<Message> {
    let prefix = &fixture.kafka.kafka_prefix;
    let topics = ["other", "notes.other", "othernotes", ""].map(|topic| Message {
        topic: format!("{prefix}{topic}"),
        ..event.clone()
    });
    // Another store on the same brokers has a topic of this name.
    let of_another_store = Message {
        topic: "notes".to_owned(),
        ..event.clone()
    };
    let sources =
        ["/test/other", "/test", "notes/", "othernotes", "", "\u{0}"].map(|source| Message {
            source: Some(source.to_owned()),
            ..event.clone()
        });
    let all = topics.into_iter().chain([of_another_store]).chain(sources);
    all.zip(100..)
        .map(|(message, offset)| Message { offset, ..message })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imitated_event_is_parked_under_an_id_of_its_own_and_the_true_one_is_applied() {
    let fixture = Fixture::new(1).await;
    let event = fixture.message("a", 1, EventId::now_v7());
    let imitations = imitations(&fixture, &event);
    for imitation in &imitations {
        assert_eq!(
            fixture.deliver(imitation).await.unwrap(),
            Outcome::Parked,
            "{imitation:?}"
        );
        assert_eq!(
            fixture.deliver(imitation).await.unwrap(),
            Outcome::Duplicate
        );
    }
    assert_eq!(fixture.effects().await, []);
    let parked = fixture.parked().await;
    assert_eq!(parked.len(), imitations.len());
    for (code, state) in &parked {
        assert_eq!((code.as_str(), state.as_str()), ("foreign_event", "parked"));
    }
    let reason = fixture
        .text("SELECT reason FROM inbox_parked ORDER BY seq LIMIT 1")
        .await;
    assert!(
        reason.contains("other, which is not that of notes")
            && reason.contains(&event.id.to_string()),
        "{reason}"
    );
    // Under another key: events of the first one are parked behind the imitations.
    let event = Message {
        payload: fixture.message("b", 1, event.id).payload,
        key: "b".into(),
        ..event
    };
    assert_eq!(fixture.deliver(&event).await.unwrap(), Outcome::Applied);
    assert_eq!(fixture.effects().await, [("b".to_owned(), 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_leaves_imitations_out_and_goes_on_with_what_is_behind_them() {
    let fixture = Fixture::new(1).await;
    let event = fixture.message("a", 1, EventId::now_v7());
    let imitation = Message {
        source: Some("/test/other".to_owned()),
        ..event.clone()
    };
    assert_eq!(fixture.deliver(&imitation).await.unwrap(), Outcome::Parked);
    for n in 2..4 {
        let behind = fixture.message("a", n, EventId::now_v7());
        assert_eq!(fixture.deliver(&behind).await.unwrap(), Outcome::Parked);
    }
    let running = fixture.consume().await;
    parked::replay(&fixture.db, CONSUMER, &fixture.topic(), "a", "me")
        .await
        .unwrap();
    wait_for("those behind it", async || {
        fixture.effects_of("a").await.len() == 2
    })
    .await;
    assert_eq!(fixture.effects_of("a").await, [2, 3]);
    let state = fixture.parked().await[0].clone();
    assert_eq!(state, ("foreign_event".to_owned(), "discarded".to_owned()));
    // Another replay does not apply it either.
    parked::replay(&fixture.db, CONSUMER, &fixture.topic(), "a", "me")
        .await
        .unwrap();
    wait_for("it to be left out again", async || {
        fixture.parked().await[0].1 == "discarded"
    })
    .await;
    running.stop().await;
    assert_eq!(fixture.effects_of("a").await, [2, 3]);
}
