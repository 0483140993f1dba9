use serde::{Serialize, de::DeserializeOwned};

use crate::OrderId;

/// Names one event for ever. It is the CloudEvents `id` and the consumers' idempotency key. A
/// UUIDv7, so that indexes over it grow at one end.
pub type EventId = uuid::Uuid;

/// Something that happened, as other services may know it.
pub trait Event: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The CloudEvents `type`: `orders.placed.v1`. A change that an old reader cannot follow gets a
    /// new version.
    const TYPE: &'static str;

    /// The Kafka topic, without the prefix that a deployment may put before it.
    const TOPIC: &'static str;

    /// Events with one key reach every consumer in the order of their commits.
    fn key(&self) -> String;

    /// The order that it is about, if it is about one. For logs.
    fn order(&self) -> Option<OrderId> {
        None
    }
}
