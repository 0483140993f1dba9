use std::fmt::Write;

use db::Tx;
use outbox::parked::{self, TopicKey};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier},
    client::DefaultClientContext,
};
use uuid::Uuid;

use crate::{
    kafka::Topic,
    store::{Abort, Store, noted, publish, until},
    takeover::LEADER,
};

/// A text that hardly compresses.
pub fn large(name: &str) -> String {
    let mut text = format!("{name:20}");
    for _ in 0..300 {
        write!(text, "{}", Uuid::new_v4().simple()).unwrap();
    }
    text
}

pub async fn raise_the_limit(store: &Store) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", &store.brokers)
        .create()
        .unwrap();
    let topic = store.topic_name();
    let limit =
        AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("max.message.bytes", "1000000");
    let done = admin
        .alter_configs([&limit], &AdminOptions::new())
        .await
        .unwrap();
    done[0].as_ref().unwrap();
}

pub async fn parked(store: &Store) -> Vec<(Uuid, String, String)> {
    let events = parked::list(&store.client).await.unwrap();
    events
        .into_iter()
        .map(|event| (event.id, event.state, event.reason))
        .collect()
}

pub fn key(key: &str) -> TopicKey {
    TopicKey {
        topic: "notes".to_owned(),
        key: key.to_owned(),
    }
}

fn texts(topic: &Topic, key: &str) -> Vec<String> {
    topic
        .texts(key)
        .iter()
        .map(|text| text.trim().to_owned())
        .collect()
}

/// A topic that takes only small messages, and events of two keys of which one is too large.
async fn with_one_event_too_large() -> (Store, [Uuid; 2], Vec<Uuid>) {
    let store = Store::with_topic(1, &[("max.message.bytes", "5000")]).await;
    let one = store.publish("a", "one").await;
    let mut others = vec![one, store.publish("b", "one").await];
    let refused = store.publish("a", &large("two")).await;
    let behind = store.publish("a", "three").await;
    for number in 0..40 {
        others.push(store.publish("b", &number.to_string()).await);
    }
    (store, [refused, behind], others)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_event_is_parked_with_those_behind_it_and_replayed_in_order() {
    let (mut store, [refused, behind], others) = with_one_event_too_large().await;
    let relay = store.relay().await;
    let mut topic = store.topic();
    topic.until_has(others).await;
    until("two events are parked", async || {
        parked(&store).await.len() == 2
    })
    .await;
    let found = parked(&store).await;
    assert_eq!((found[0].0, found[1].0), (refused, behind));
    assert!(
        found[0].2.to_lowercase().contains("too large"),
        "{}",
        found[0].2
    );
    assert_eq!(found[1].2, "an earlier event of its key is parked");

    // A later event of the key is parked, too, also by a new relay.
    relay.kill();
    let _relay = store.relay().await;
    let later = store.publish("a", "four").await;
    let other = store.publish("b", "last").await;
    topic.until_has([other]).await;
    until("three events are parked", async || {
        parked(&store).await.len() == 3
    })
    .await;
    assert_eq!(texts(&topic, "a"), ["one"]);

    raise_the_limit(&store).await;
    let events = parked::replay(&mut store.client, &key("a"), "an operator")
        .await
        .unwrap();
    assert_eq!(events, 3);
    topic.until_has([refused, behind, later]).await;
    until("nothing is parked", async || {
        parked(&store).await.is_empty()
    })
    .await;
    let after = store.publish("a", "five").await;
    topic.until_has([after]).await;
    assert_eq!(texts(&topic, "a"), ["one", "two", "three", "four", "five"]);
    let numbers: Vec<String> = (0..40).map(|number| number.to_string()).collect();
    assert_eq!(texts(&topic, "b")[1..=40], numbers);
    let audited =
        "SELECT count(*) FROM outbox_operations WHERE who = 'an operator' AND operation = 'replay'";
    assert_eq!(store.number(audited).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_discarded_lets_later_events_go_on_and_can_still_be_replayed() {
    let (mut store, [refused, behind], others) = with_one_event_too_large().await;
    let _relay = store.relay().await;
    let mut topic = store.topic();
    topic.until_has(others).await;
    until("two events are parked", async || {
        parked(&store).await.len() == 2
    })
    .await;
    let events = parked::discard(&mut store.client, &key("a"), "an operator")
        .await
        .unwrap();
    assert_eq!(events, 2);
    let later = store.publish("a", "four").await;
    topic.until_has([later]).await;
    assert_eq!(texts(&topic, "a"), ["one", "four"]);
    let states: Vec<String> = parked(&store)
        .await
        .into_iter()
        .map(|event| event.1)
        .collect();
    assert_eq!(states, ["discarded", "discarded"]);

    raise_the_limit(&store).await;
    let events = parked::replay(&mut store.client, &key("a"), "an operator")
        .await
        .unwrap();
    assert_eq!(events, 2);
    topic.until_has([refused, behind]).await;
    assert_eq!(texts(&topic, "a"), ["one", "four", "two", "three"]);
}

/// If Kafka refuses an event in its replay, it is parked again, and those behind it stay behind it.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_refused_again_is_parked_again() {
    let (mut store, [refused, _], _) = with_one_event_too_large().await;
    let _relay = store.relay().await;
    until("two events are parked", async || {
        parked(&store).await.len() == 2
    })
    .await;
    let mut topic = store.topic();
    parked::replay(&mut store.client, &key("a"), "an operator")
        .await
        .unwrap();
    until("they are parked again", async || {
        let found = parked(&store).await;
        found.len() == 2 && found.iter().all(|event| event.1 == "parked")
    })
    .await;
    let other = store.publish("b", "last").await;
    topic.until_has([other]).await;
    assert_eq!(texts(&topic, "a"), ["one"]);
    assert_eq!(parked(&store).await[0].0, refused);
}

/// The first request to a partition is refused for good while the next one could be on its way.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_behind_an_event_that_is_refused_at_first_is_not_sent_before_it() {
    let store = Store::with_topic(2, &[("max.message.bytes", "5000")]).await;
    let mut topic = store.topic();
    let _relay = store.relay().await;
    // Keys of one partition.
    for (round, key) in ["a", "b", "c", "e"].into_iter().enumerate() {
        // A key of the other partition. The producer is new after each refusal; with this event it
        // learns the topic's partitions and gets its id.
        let other = store.publish("d", "other").await;
        topic.until_has([other]).await;
        let published: Result<(), Abort> = store
            .db
            .transaction("test.publish", async move |tx: &mut Tx<'_>| {
                for text in [&large("one"), "two", "three", "four"] {
                    publish(tx, &noted(key, text)).await?;
                }
                Ok(())
            })
            .await;
        published.unwrap();
        until("all four are parked", async || {
            parked(&store).await.len() == 4 * (round + 1)
        })
        .await;
        let last = store.publish("d", "last").await;
        topic.until_has([last]).await;
    }
    assert_eq!((topic.end_of(0), topic.end_of(1)), (0, 8));
}

/// A relay that reads events once more sends none that an operator discarded meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_discarded_is_not_sent_by_a_relay_that_starts_again() {
    let (mut store, [refused, behind], others) = with_one_event_too_large().await;
    // The topic of one event is missing: the cursor does not move, and the relay starts again and
    // again.
    let nowhere = "WITH topic AS (INSERT INTO outbox_topics VALUES ('nowhere'))
                   INSERT INTO outbox (id, topic, key, type, payload)
                   VALUES (gen_random_uuid(), 'nowhere', 'c', 't', '{}')";
    store.client.execute(nowhere, &[]).await.unwrap();
    let mut relay = store.relay().await;
    until("two events are parked", async || {
        parked(&store).await.len() == 2
    })
    .await;
    parked::discard(&mut store.client, &key("a"), "an operator")
        .await
        .unwrap();
    raise_the_limit(&store).await;
    // The next session may have begun before the discard; the one after it has not.
    for _ in 0..2 {
        let session = store.number(LEADER).await;
        until("the relay starts again", async || {
            ![0, session].contains(&store.number(LEADER).await)
        })
        .await;
    }
    let servers = backing::shared().await.unwrap();
    let missing = format!("{}nowhere", store.prefix);
    servers.kafka.create_topic(&missing, 1, &[]).await.unwrap();
    until("all is acknowledged", async || {
        store.unacknowledged().await == 0
    })
    .await;
    relay.stop().await.unwrap();
    let mut topic = store.topic();
    topic.until_has(others).await;
    let last = store.publish("b", "last").await;
    let _relay = store.relay().await;
    topic.until_has([last]).await;
    assert_eq!(texts(&topic, "a"), ["one"]);
    let states: Vec<String> = parked(&store)
        .await
        .into_iter()
        .map(|event| event.1)
        .collect();
    assert_eq!(states, ["discarded", "discarded"]);

    parked::replay(&mut store.client, &key("a"), "an operator")
        .await
        .unwrap();
    topic.until_has([refused, behind]).await;
    assert_eq!(texts(&topic, "a"), ["one", "two", "three"]);
}

/// When a replay is discarded while it runs, only the event that is just being sent is still sent.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_discarded_in_the_middle_of_its_replay_is_not_sent() {
    let (mut store, ..) = with_one_event_too_large().await;
    let _relay = store.relay().await;
    until("two events are parked", async || {
        parked(&store).await.len() == 2
    })
    .await;
    let many = "INSERT INTO outbox_parked
                  (position, id, topic, key, type, payload, recorded_at, reason)
                SELECT 1000 + n, gen_random_uuid(), 'notes', 'a', 'notes.noted.v1',
                  '{\"text\":\"more\"}', now(), 'behind'
                FROM generate_series(1, 3000) n";
    store.client.execute(many, &[]).await.unwrap();
    raise_the_limit(&store).await;
    parked::replay(&mut store.client, &key("a"), "an operator")
        .await
        .unwrap();
    let sent = "SELECT count(*) FROM outbox_parked WHERE state = 'sent'";
    until("some are sent", async || store.number(sent).await > 2).await;
    let discarded = parked::discard(&mut store.client, &key("a"), "an operator")
        .await
        .unwrap();
    assert!(discarded > 1, "all of them were sent by then");
    let last = store.publish("a", "last").await;
    let mut topic = store.topic();
    topic.until_has([last]).await;
    let left = "SELECT count(*) FROM outbox_parked WHERE state = 'discarded'";
    let left = u64::try_from(store.number(left).await).unwrap();
    assert!(left + 1 >= discarded, "{left} of {discarded} were left");
}
