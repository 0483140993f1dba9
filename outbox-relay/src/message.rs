use std::collections::HashMap;

use chrono::SecondsFormat;
use outbox::log::OutboxEvent;
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::BaseRecord,
};
use uuid::Uuid;

/// Turns events into Kafka's messages: CloudEvents 1.0, Kafka binding, binary mode.
pub struct Messages {
    source: String,
    /// The headers that all events of a type have in common, by type: copying them is cheaper than
    /// making them.
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
        event: &'r OutboxEvent,
        topic: &'r str,
        number: usize,
    ) -> BaseRecord<'r, str, [u8], usize> {
        BaseRecord::with_opaque_to(topic, number)
            .key(event.key())
            .payload(event.payload_bytes())
            .headers(self.headers(event))
    }

    fn headers(&mut self, event: &OutboxEvent) -> OwnedHeaders {
        let time = event
            .recorded_at()
            .to_rfc3339_opts(SecondsFormat::Micros, true);
        let headers = self
            .common(event.event_type())
            .insert(text(
                "ce_id",
                event
                    .id()
                    .as_hyphenated()
                    .encode_lower(&mut Uuid::encode_buffer()),
            ))
            .insert(text("ce_subject", event.key()))
            .insert(text("ce_time", &time));
        match event.traceparent() {
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
