use rdkafka::ClientConfig;

use crate::RelaySettings;

/// The configuration of Kafka's client: it sends in order and without a gap, and never stops
/// trying.
pub fn producer_config(settings: &RelaySettings) -> ClientConfig {
    let mut config = settings
        .kafka
        .client_config(&format!("relay{}", settings.source));
    config
        .set("enable.idempotence", "true")
        // A gap in what was sent must stop everything behind it, or a key's events would be out of
        // order.
        .set("enable.gapless.guarantee", "true")
        .set("acks", "all")
        // No time limit: the client waits for the end of any outage.
        .set("message.timeout.ms", "0")
        .set("compression.type", "lz4")
        // Java's clients choose a key's partition in the same way.
        .set("partitioner", "murmur2_random")
        .set("linger.ms", settings.linger_ms.to_string())
        .set("message.max.bytes", "2000000")
        .set(
            "queue.buffering.max.kbytes",
            settings.buffer_kib.to_string(),
        )
        .set("queue.buffering.max.messages", "100000")
        .set("topic.metadata.propagation.max.ms", "5000");
    config
}
