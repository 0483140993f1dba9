use serde::{Serialize, de::DeserializeOwned};

use crate::OrderId;

/// The id of an event, which never changes. It is the CloudEvents `id` and the consumers'
/// idempotency key. It is a UUIDv7, so that indexes over it grow at one end.
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

    /// The order that the event is about, if any. For logs.
    fn order(&self) -> Option<OrderId> {
        None
    }
}
