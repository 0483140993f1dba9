use chrono::{DateTime, Utc};
use kernel::{EventId, TraceParent};
use rdkafka::{
    Message as _,
    message::{BorrowedMessage, Headers},
};
use uuid::Uuid;

/// An event as it came from Kafka: CloudEvents 1.0, Kafka binding, binary mode.
#[derive(Clone, Debug)]
pub struct Message {
    pub id: EventId,
    pub event_type: String,
    /// As it is called on the brokers.
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub key: String,
    /// When it was published.
    pub time: Option<DateTime<Utc>>,
    pub trace: Option<TraceParent>,
    pub payload: Vec<u8>,
    /// Why it is no event of ours.
    pub unreadable: Option<&'static str>,
}

impl Message {
    pub(crate) fn read(raw: &BorrowedMessage<'_>) -> Self {
        let header = |name: &str| {
            let headers = raw.headers()?;
            let found = headers.iter().find(|header| header.key == name)?;
            std::str::from_utf8(found.value?).ok()
        };
        let id = header("ce_id").and_then(|id| id.parse::<Uuid>().ok());
        let event_type = header("ce_type");
        let key = raw.key().and_then(|key| std::str::from_utf8(key).ok());
        let unreadable = match (id, event_type, key, raw.payload()) {
            (None, ..) => Some("the header ce_id is missing or no UUID"),
            (_, None, ..) => Some("the header ce_type is missing"),
            (_, _, None, _) => Some("the key is missing or no text"),
            (.., None) => Some("the payload is missing"),
            _ => None,
        };
        Self {
            id: id.unwrap_or_else(|| id_of_place(raw.topic(), raw.partition(), raw.offset())),
            event_type: event_type.unwrap_or("unreadable").to_owned(),
            topic: raw.topic().to_owned(),
            partition: raw.partition(),
            offset: raw.offset(),
            key: key.unwrap_or_default().to_owned(),
            time: header("ce_time").and_then(|time| Some(DateTime::parse_from_rfc3339(time).ok()?.to_utc())),
            trace: header("traceparent").and_then(|trace| trace.parse().ok()),
            payload: raw.payload().unwrap_or_default().to_vec(),
            unreadable,
        }
    }
}

/// A message without a readable id is called after its place, so that its redelivery is known.
fn id_of_place(topic: &str, partition: i32, offset: i64) -> Uuid {
    Uuid::new_v5(
        &Uuid::NAMESPACE_URL,
        format!("kafka:{topic}/{partition}/{offset}").as_bytes(),
    )
}
