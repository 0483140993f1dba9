//! The events of delivery: of an order's slot, and of its parcel's handover.

use chrono::{DateTime, Utc};
use kernel::{OrderId, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::OrderSheet;

/// The order has its place in a slot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Booked {
    pub order: OrderSheet,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub handover: Handover,
}

/// How a zone's parcels reach their customers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Handover {
    /// A parcel locker takes a parcel at once.
    Locker,
    /// A courier reports the outcome.
    Courier,
}

/// The order got no place in its slot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BookingRefused {
    pub order_id: OrderId,
    pub user_id: UserId,
    pub reason: BookingRefusal,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BookingRefusal {
    ZoneNotServed,
    /// There is no such slot, or it is one of another zone.
    UnknownSlot,
    SlotFull,
    SlotPast,
}

impl BookingRefusal {
    /// The reason as orders, notifications and the API name it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::ZoneNotServed => "zone_not_served",
            Self::UnknownSlot => "unknown_slot",
            Self::SlotFull => "slot_full",
            Self::SlotPast => "slot_past",
        }
    }
}

/// The parcel is with its customer, or in the locker.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Delivered {
    pub order_id: OrderId,
    pub user_id: UserId,
}

/// The parcel could not be handed over.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Failed {
    pub order_id: OrderId,
    pub user_id: UserId,
    pub reason: FailedReason,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailedReason {
    RecipientAbsent,
}

impl FailedReason {
    /// The reason as orders, notifications and the API name it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::RecipientAbsent => "recipient_absent",
        }
    }
}

crate::entry::events! { "delivery":
    Booked "delivery.booked.v1" of order by |event| event.order.order_id;
    BookingRefused "delivery.booking_refused.v1" of order by |event| event.order_id;
    Delivered "delivery.delivered.v1" of order by |event| event.order_id;
    Failed "delivery.failed.v1" of order by |event| event.order_id;
}
