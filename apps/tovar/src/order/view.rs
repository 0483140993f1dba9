use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::{
    journey::JourneyEvent,
    parts::{OrderHead, Part},
    waits::Wait,
};

/// All that the store knows about an order.
#[derive(Debug, Serialize)]
pub struct View {
    pub id: Uuid,
    pub at: DateTime<Utc>,
    /// What the service orders stores about it; `None` if it does not know the order.
    pub order: Option<OrderHead>,
    /// What each service stores about it.
    pub parts: Vec<Part>,
    /// Its events that the outboxes still retain, from their outbox to each inbox.
    #[serde(rename = "way")]
    pub journey: Vec<JourneyEvent>,
    /// What it waits for; empty when it is over.
    pub waits: Vec<Wait>,
    /// What happens next when nothing goes wrong.
    pub next: String,
}
