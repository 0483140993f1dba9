use std::collections::HashMap;

use chrono::SecondsFormat;
use outbox::log::Record;
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::BaseRecord,
};
use uuid::Uuid;

/// Makes events Kafka's messages: CloudEvents 1.0, Kafka binding, binary mode.
pub struct Messages {
    source: String,
    /// The headers that all events of a type have in common: it is cheaper to copy them than to
    /// make them.
    common: HashMap<String, OwnedHeaders>,
}

impl Messages {
    pub fn new(source: String) -> Self {
        Self {
            source,
            common: HashMap::new(),
        }
    }

    pub fn message<'r>(
        &mut self,
        record: &'r Record,
        topic: &'r str,
        number: usize,
    ) -> BaseRecord<'r, str, [u8], usize> {
        BaseRecord::with_opaque_to(topic, number)
            .key(record.key())
            .payload(record.payload_bytes())
            .headers(self.headers(record))
    }

    fn headers(&mut self, record: &Record) -> OwnedHeaders {
        let time = record
            .recorded_at()
            .to_rfc3339_opts(SecondsFormat::Micros, true);
        let headers = self
            .common(record.event_type())
            .insert(text(
                "ce_id",
                record
                    .id()
                    .as_hyphenated()
                    .encode_lower(&mut Uuid::encode_buffer()),
            ))
            .insert(text("ce_subject", record.key()))
            .insert(text("ce_time", &time));
        match record.traceparent() {
            Some(trace) => headers.insert(text("traceparent", trace)),
            None => headers,
        }
    }

    fn common(&mut self, event_type: &str) -> OwnedHeaders {
        if let Some(common) = self.common.get(event_type) {
            return common.clone();
        }
        let common = OwnedHeaders::new()
            .insert(text("ce_specversion", "1.0"))
            .insert(text("ce_type", event_type))
            .insert(text("ce_source", &self.source))
            .insert(text("content-type", "application/json"));
        self.common.insert(event_type.to_owned(), common.clone());
        common
    }
}

fn text<'a>(key: &'a str, value: &'a str) -> Header<'a, &'a str> {
    Header {
        key,
        value: Some(value),
    }
}
