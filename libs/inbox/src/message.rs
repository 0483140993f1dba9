use chrono::{DateTime, Utc};
use kernel::{EventId, TraceParent};
use rdkafka::message::Headers;
use uuid::Uuid;

use crate::{key::Key, topic_partition::TopicPartition};

/// The type of a message without a readable type.
pub(crate) const UNREADABLE: &str = "unreadable";
/// The type of the event that stands for messages that Kafka's client cannot read.
pub const UNREADABLE_PLACE: &str = "unreadable_place";

/// A message as Kafka delivered it: an event in CloudEvents 1.0, Kafka binding, binary mode.
#[derive(Clone, Debug)]
pub struct Message {
    pub id: EventId,
    pub event_type: String,
    /// The producer that it names; `None` for an event that was parked.
    pub source: Option<String>,
    /// The topic's name on the brokers.
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub key: Key,
    /// When it was published.
    pub time: Option<DateTime<Utc>>,
    pub trace: Option<TraceParent>,
    pub payload: Vec<u8>,
    /// Why the message is no event; `None` if it is one.
    pub unreadable: Option<&'static str>,
}

impl Message {
    pub(crate) fn read(raw: &impl rdkafka::Message) -> Self {
        let header = |name: &str| {
            let headers = raw.headers()?;
            let found = headers.iter().find(|header| header.key == name)?;
            std::str::from_utf8(found.value?).ok()
        };
        let id = header("ce_id").and_then(|id| id.parse::<Uuid>().ok());
        let event_type = header("ce_type");
        let source = header("ce_source");
        let key = raw.key();
        let is_text = key.and_then(|key| std::str::from_utf8(key).ok());
        let unreadable = match (id, event_type, source, is_text, raw.payload()) {
            (None, ..) => Some("the header ce_id is missing or no UUID"),
            (_, None, ..) => Some("the header ce_type is missing"),
            (_, _, None, ..) => Some("the header ce_source is missing"),
            (_, _, _, None, _) => Some("the key is missing or no text"),
            (.., None) => Some("the payload is missing"),
            _ => None,
        };
        Self {
            id: id.unwrap_or_else(|| id_of_position(raw.topic(), raw.partition(), raw.offset())),
            event_type: event_type.unwrap_or(UNREADABLE).to_owned(),
            source: source.map(ToOwned::to_owned),
            topic: raw.topic().to_owned(),
            partition: raw.partition(),
            offset: raw.offset(),
            key: Key::new(key.unwrap_or_default()),
            time: header("ce_time")
                .and_then(|time| Some(DateTime::parse_from_rfc3339(time).ok()?.to_utc())),
            trace: header("traceparent").and_then(|trace| trace.parse().ok()),
            payload: raw.payload().unwrap_or_default().to_vec(),
            unreadable,
        }
    }

    /// When the event was published. A parked event is stored without its time; its id says it to
    /// the millisecond.
    pub(crate) fn published_at(&self) -> Option<DateTime<Utc>> {
        let of_id = || {
            let (seconds, nanoseconds) = self.id.get_timestamp()?.to_unix();
            DateTime::from_timestamp(seconds.try_into().ok()?, nanoseconds)
        };
        self.time.or_else(of_id)
    }

    /// A message that stands for what cannot be read at an offset.
    pub(crate) fn unreadable_at(
        TopicPartition { topic, partition }: &TopicPartition,
        offset: i64,
    ) -> Self {
        Self {
            id: id_of_position(topic, *partition, offset),
            event_type: UNREADABLE_PLACE.to_owned(),
            source: None,
            topic: topic.clone(),
            partition: *partition,
            offset,
            key: Key::new(b""),
            time: None,
            trace: None,
            payload: Vec::new(),
            unreadable: Some("Kafka's client cannot read it"),
        }
    }

    /// The same message under an id that no other message can have.
    pub(crate) fn with_id_of_position(&self) -> Self {
        Self {
            id: id_of_position(&self.topic, self.partition, self.offset),
            ..self.clone()
        }
    }

    /// Bytes of memory, roughly.
    pub(crate) fn memory_bytes(&self) -> usize {
        1024 + self.key.bytes().len() + self.payload.len()
    }
}

/// The id of a message that has no readable one, made of its position, so that the inbox recognises
/// it when Kafka delivers it again.
fn id_of_position(topic: &str, partition: i32, offset: i64) -> Uuid {
    Uuid::new_v5(
        &Uuid::NAMESPACE_URL,
        format!("kafka:{topic}/{partition}/{offset}").as_bytes(),
    )
}

#[cfg(test)]
mod tests {
    use rdkafka::{
        Timestamp,
        message::{Header, OwnedHeaders, OwnedMessage},
    };

    use super::*;

    const ID: &str = "0197a1b2-0000-7000-8000-000000000001";
    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const GOOD: [(&str, &str); 5] = [
        ("ce_id", ID),
        ("ce_type", "orders.placed.v1"),
        ("ce_source", "/tovar/orders"),
        ("ce_time", "2026-01-02T03:04:05.678901Z"),
        ("traceparent", TRACE),
    ];

    fn read(
        headers: &[(&str, &str)],
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        offset: i64,
    ) -> Message {
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, &(key, value)| {
                headers.insert(Header {
                    key,
                    value: Some(value),
                })
            });
        Message::read(&OwnedMessage::new(
            payload.map(Vec::from),
            key.map(Vec::from),
            "orders".to_owned(),
            Timestamp::NotAvailable,
            3,
            offset,
            Some(headers),
        ))
    }

    fn without(name: &str) -> Vec<(&'static str, &'static str)> {
        GOOD.into_iter().filter(|(key, _)| *key != name).collect()
    }

    #[test]
    fn an_event_says_all_about_itself() {
        let message = read(&GOOD, Some(b"key"), Some(b"{}"), 7);
        assert_eq!(message.unreadable, None);
        assert_eq!(message.id.to_string(), ID);
        assert_eq!(message.event_type, "orders.placed.v1");
        assert_eq!(message.source.as_deref(), Some("/tovar/orders"));
        assert_eq!(
            (message.key.name(), message.partition, message.offset),
            ("key", 3, 7)
        );
        assert_eq!(
            message.time.unwrap().timestamp_micros(),
            1_767_323_045_678_901
        );
        assert_eq!(message.trace.unwrap().to_string(), TRACE);
        assert_eq!(message.payload, b"{}");
    }

    #[test]
    fn a_message_that_is_no_event_says_why_and_is_called_after_its_place() {
        let wrong_id: Vec<_> = without("ce_id")
            .into_iter()
            .chain([("ce_id", "7")])
            .collect();
        for (message, why) in [
            (
                read(&without("ce_id"), Some(b"key"), Some(b"{}"), 7),
                "the header ce_id",
            ),
            (
                read(&wrong_id, Some(b"key"), Some(b"{}"), 7),
                "the header ce_id",
            ),
            (
                read(&without("ce_type"), Some(b"key"), Some(b"{}"), 7),
                "the header ce_type",
            ),
            (
                read(&without("ce_source"), Some(b"key"), Some(b"{}"), 7),
                "the header ce_source",
            ),
            (read(&GOOD, None, Some(b"{}"), 7), "the key"),
            (read(&GOOD, Some(b"\xff"), Some(b"{}"), 7), "the key"),
            (read(&GOOD, Some(b"key"), None, 7), "the payload"),
        ] {
            assert!(
                message.unreadable.unwrap().starts_with(why),
                "{:?}",
                message.unreadable
            );
        }
        let at = |offset| read(&[], None, None, offset).id;
        assert_eq!(at(7), at(7));
        assert_ne!(at(7), at(8));
    }

    #[test]
    fn a_wrong_time_or_trace_is_no_reason_to_refuse_an_event() {
        let headers: Vec<_> = GOOD[..3]
            .iter()
            .copied()
            .chain([("ce_time", "yesterday"), ("traceparent", "x")])
            .collect();
        let message = read(&headers, Some(b"key"), Some(b"{}"), 7);
        assert_eq!((message.unreadable, message.time), (None, None));
        assert!(message.trace.is_none());
    }

    #[test]
    fn an_event_without_a_time_has_that_of_its_id() {
        let timed = read(&GOOD, Some(b"key"), Some(b"{}"), 7);
        assert_eq!(timed.published_at(), timed.time);
        let untimed = read(&without("ce_time"), Some(b"key"), Some(b"{}"), 7);
        assert_eq!(
            untimed.published_at().unwrap().timestamp_millis(),
            0x0197_a1b2_0000
        );
        assert_eq!(read(&[], None, None, 7).published_at(), None);
    }
}
