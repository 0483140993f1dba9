//! Other producers may write to a topic, too. Whatever bytes their messages have, each message is
//! applied, ignored or parked, and the messages behind it are applied.

use std::collections::BTreeSet;

use inbox::parked::{self, ParkedEvent};
use kernel::{Class, Event, EventId};
use rdkafka::message::{Header, OwnedHeaders};

use crate::fixture::{Act, CONSUMER, Fixture, Noted, SOURCE, payload, wait_for};

/// Bytes that a PostgreSQL text, an index, a terminal or a UTF-8 decoder does not accept.
fn odd() -> Vec<Vec<u8>> {
    vec![
        b"a\0b".to_vec(),
        b"a\0c".to_vec(),
        b"\xff\xfe".to_vec(),
        b"\xf0\x9f\x92".to_vec(),
        b"\x1b[2J\r\n".to_vec(),
        b"\\".to_vec(),
        vec![b'k'; 5000],
        vec![b'k'; 5001],
        vec![0; 3000],
        "\u{1f4a5}".repeat(1000).into_bytes(),
        Vec::new(),
    ]
}

type Headers = Vec<(&'static str, Option<Vec<u8>>)>;

fn good_headers() -> Headers {
    [
        ("ce_id", EventId::now_v7().to_string()),
        ("ce_type", Noted::TYPE.to_owned()),
        ("ce_source", SOURCE.to_owned()),
        ("ce_time", "2026-01-01T00:00:00Z".to_owned()),
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
        ),
    ]
    .map(|(name, value)| (name, Some(value.into_bytes())))
    .into()
}

fn owned(headers: &Headers) -> OwnedHeaders {
    headers
        .iter()
        .fold(OwnedHeaders::new(), |all, (key, value)| {
            all.insert(Header {
                key,
                value: value.as_ref(),
            })
        })
}

/// Good headers, but for one that has this value.
fn with(name: &str, value: Option<&Vec<u8>>) -> Headers {
    let mut headers = good_headers();
    for header in &mut headers {
        if header.0 == name {
            header.1 = value.cloned();
        }
    }
    headers
}

/// Sends messages that have something odd in one of their parts or in all of them, and a good event
/// behind each. Returns how many odd ones they are.
async fn send_all(fixture: &Fixture) -> i64 {
    let good = payload("foreign", 0);
    let good = Some(good.as_bytes());
    let mut count = 0;
    let mut send = async |key: Option<&[u8]>, payload: Option<&[u8]>, headers: &Headers| {
        fixture.send_bytes(0, key, payload, owned(headers)).await;
        count += 1;
        fixture
            .send(0, "after", i32::try_from(count).unwrap())
            .await;
    };
    for bytes in odd().iter().map(Some).chain([None]) {
        let value = bytes.map(Vec::as_slice);
        send(value, good, &good_headers()).await;
        send(value, good, &Vec::new()).await;
        send(Some(b"key"), value, &good_headers()).await;
        send(value, value, &vec![("ce_id", bytes.cloned())]).await;
        for header in ["ce_id", "ce_type", "ce_source", "ce_time", "traceparent"] {
            send(Some(b"key"), good, &with(header, bytes)).await;
        }
    }
    let long = "y".repeat(900_000);
    for text in [
        format!(r#"{{"key":"a","n":"{long}"}}"#),
        r#"{"key":"a","n":"\u0000\u001b"}"#.to_owned(),
        long,
    ] {
        send(Some(b"large"), Some(text.as_bytes()), &good_headers()).await;
    }
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_message_is_made_of_those_behind_it_are_applied() {
    let fixture = Fixture::new(1).await;
    let sent = send_all(&fixture).await;
    let running = fixture.consume().await;
    wait_for("all that came after them", async || {
        i64::try_from(fixture.effects_of("after").await.len()).unwrap() == sent
    })
    .await;
    wait_for("the offset of the last", async || {
        fixture.committed(0).await == 2 * sent
    })
    .await;
    running.stop().await;
    assert_eq!(
        fixture.number("SELECT count(*) FROM inbox_blocked").await,
        0
    );
    let all = parked::list(&fixture.db, CONSUMER).await.unwrap();
    assert!(all.len() > 40, "{}", all.len());
    for event in &all {
        assert!(
            event.reason.len() <= 4096,
            "a reason of {} bytes",
            event.reason.len()
        );
        assert!(
            event.key.len() <= 1024,
            "a key of {} bytes",
            event.key.len()
        );
        let shown = event.reason.chars().chain(event.key.chars());
        assert!(shown.filter(|c| c.is_control()).count() == 0, "{event:?}");
        serde_json::to_string(event).unwrap();
    }
    // An operator replays them, which fails as before, and then discards them.
    let running = fixture.consume().await;
    let keys: BTreeSet<_> = all.iter().map(|event| event.key.clone()).collect();
    for key in &keys {
        assert!(
            parked::replay(&fixture.db, CONSUMER, &fixture.topic(), key, "me")
                .await
                .unwrap()
                > 0
        );
    }
    wait_for("each to be parked again", async || {
        fixture
            .number("SELECT count(*) FROM inbox_parked WHERE state = 'replay'")
            .await
            == 0
    })
    .await;
    for key in &keys {
        parked::discard(&fixture.db, CONSUMER, &fixture.topic(), key, "me")
            .await
            .unwrap();
    }
    running.stop().await;
    let left = "SELECT count(*) FROM inbox_parked WHERE state NOT IN ('applied', 'discarded')";
    assert_eq!(fixture.number(left).await, 0);
}

/// The domain refuses the first event of each key.
#[tokio::test(flavor = "multi_thread")]
async fn of_keys_that_are_hardly_text_each_keeps_its_order_and_waits_for_no_other() {
    let fixture = Fixture::new(1).await;
    let readable: Vec<Vec<u8>> = odd()
        .into_iter()
        .filter(|key| std::str::from_utf8(key).is_ok())
        .collect();
    for (n, key) in readable.iter().enumerate() {
        let name = format!("odd{n}");
        fixture.make(&name, 1, Act::Fail(Class::Invalid));
        for n in 1..=2 {
            let payload = payload(&name, n);
            fixture
                .send_bytes(
                    0,
                    Some(key),
                    Some(payload.as_bytes()),
                    owned(&good_headers()),
                )
                .await;
        }
    }
    fixture.send(0, "after", 1).await;
    let running = fixture.consume().await;
    wait_for("the last", async || {
        fixture.effects_of("after").await == [1]
    })
    .await;
    let parked: Vec<ParkedEvent> = parked::list(&fixture.db, CONSUMER).await.unwrap();
    let codes: Vec<&str> = parked.iter().map(|event| event.code.as_str()).collect();
    assert_eq!(codes, ["wanted", "behind"].repeat(readable.len()));
    fixture.act_normally();
    for event in parked.iter().filter(|event| event.code == "wanted") {
        let replayed =
            parked::replay(&fixture.db, CONSUMER, &fixture.topic(), &event.key, "me").await;
        assert_eq!(replayed.unwrap(), 2);
    }
    for n in 0..readable.len() {
        let name = format!("odd{n}");
        wait_for("its key", async || {
            fixture.effects_of(&name).await == [1, 2]
        })
        .await;
    }
    running.stop().await;
}
