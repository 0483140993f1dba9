use chrono::SecondsFormat;
use outbox::log::Record;
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::BaseRecord,
};

/// An event as Kafka gets it: CloudEvents 1.0, Kafka binding, binary mode.
pub fn message<'r>(
    record: &'r Record,
    topic: &'r str,
    source: &str,
    number: usize,
) -> BaseRecord<'r, str, str, usize> {
    let id = record.id().to_string();
    let time = record.recorded_at().to_rfc3339_opts(SecondsFormat::Micros, true);
    let text = |key, value| Header {
        key,
        value: Some(value),
    };
    let mut headers = OwnedHeaders::new_with_capacity(8)
        .insert(text("ce_specversion", "1.0"))
        .insert(text("ce_id", id.as_str()))
        .insert(text("ce_type", record.event_type()))
        .insert(text("ce_source", source))
        .insert(text("ce_subject", record.key()))
        .insert(text("ce_time", time.as_str()))
        .insert(text("content-type", "application/json"));
    if let Some(trace) = record.traceparent() {
        headers = headers.insert(text("traceparent", trace));
    }
    BaseRecord::with_opaque_to(topic, number)
        .key(record.key())
        .payload(record.payload())
        .headers(headers)
}
