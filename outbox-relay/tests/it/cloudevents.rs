use std::collections::BTreeMap;

use db::Tx;
use kernel::TraceParent;
use uuid::Uuid;

use crate::store::{Abort, Store, noted, publish};

const PARTITIONS: i32 = 7;

/// The hashes that Java's clients have for these keys (`UtilsTest.testMurmur2` of Apache Kafka).
const MURMUR2: [(&str, i32); 5] = [
    ("21", -973_932_308),
    ("foobar", -790_332_482),
    ("a-little-bit-long-string", -985_981_536),
    ("a-little-bit-longer-string", -1_486_304_829),
    (
        "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
        -58_897_971,
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_a_cloudevent_in_binary_mode_on_the_partition_that_java_would_choose() {
    let store = Store::with_topic(PARTITIONS, &[]).await;
    let _relay = store.relay().await;
    let mut topic = store.topic();
    let trace = TraceParent::root();
    for (key, hash) in MURMUR2 {
        let work = async |tx: &mut Tx<'_>| -> Result<Uuid, Abort> {
            Ok(publish(tx, &noted(key, "text")).await?)
        };
        let published = store.db.transaction("test", work);
        let id = telemetry::traces::scope(trace, published).await.unwrap();
        topic.until_has([id]).await;
        let message = topic.received.last().unwrap();
        assert_eq!(message.key, key);
        assert_eq!(
            message.partition,
            (hash & 0x7fff_ffff) % PARTITIONS,
            "{key}"
        );
        assert_eq!(
            message.payload,
            format!(r#"{{"key":"{key}","text":"text"}}"#)
        );

        let mut headers = message.headers.clone();
        let traceparent = headers.remove("traceparent").unwrap();
        assert_eq!(
            traceparent.split('-').nth(1),
            Some(trace.trace_id().as_str())
        );
        assert_ne!(traceparent, trace.to_string(), "it is a step of its own");
        let recorded: String = store
            .client
            .query_one(
                r#"SELECT to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
                   FROM outbox WHERE id = $1"#,
                &[&id],
            )
            .await
            .unwrap()
            .get(0);
        let id = id.to_string();
        let expected = [
            ("ce_specversion", "1.0"),
            ("ce_id", &id),
            ("ce_type", "notes.noted.v1"),
            ("ce_source", "/test"),
            ("ce_subject", key),
            ("ce_time", &recorded),
            ("content-type", "application/json"),
        ];
        let expected: BTreeMap<String, String> = expected
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        assert_eq!(headers, expected);
    }
}

/// An event that is published outside of a trace has none to continue.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_a_trace_has_no_traceparent() {
    let store = Store::new().await;
    let _relay = store.relay().await;
    let mut topic = store.topic();
    let id = store.publish("key", "text").await;
    topic.until_has([id]).await;
    assert!(!topic.received[0].headers.contains_key("traceparent"));
}
