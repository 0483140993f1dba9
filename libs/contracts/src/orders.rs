//! The events of orders: an order begins, is to be stopped, gets a verdict, is over.

use kernel::{OrderId, UserId, Zone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::OrderSheet;

/// A customer placed an order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Placed {
    pub order: OrderSheet,
}

/// The order is to be stopped before its shipment. Only the warehouse answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StopRequested {
    pub order_id: OrderId,
    pub user_id: UserId,
    pub reason: StopReason,
    /// The zone to which the order goes; events of earlier releases do not name it.
    #[serde(default)]
    pub zone: Option<Zone>,
}

#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    Customer,
    Deadline,
    Operator,
}

impl StopReason {
    /// The reason as notifications and the API name it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Deadline => "deadline",
            Self::Operator => "operator",
        }
    }
}

/// The verdict on an order that cannot go on: each participant undoes its part.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Closed {
    pub order_id: OrderId,
    pub user_id: UserId,
    pub outcome: Verdict,
    pub reason: String,
    /// The zone to which the order goes; events of earlier releases do not name it.
    #[serde(default)]
    pub zone: Option<Zone>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Rejected,
    Cancelled,
    Refunded,
}

/// The order's status is terminal, and its money is where it belongs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Finished {
    pub order_id: OrderId,
    pub user_id: UserId,
    pub outcome: Outcome,
    /// Why, for every outcome but `delivered`.
    pub reason: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Delivered,
    Rejected,
    Cancelled,
    Refunded,
}

impl From<Verdict> for Outcome {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Rejected => Self::Rejected,
            Verdict::Cancelled => Self::Cancelled,
            Verdict::Refunded => Self::Refunded,
        }
    }
}

crate::entry::events! { "orders":
    Placed "orders.placed.v1" of order by |event| event.order.order_id;
    StopRequested "orders.stop_requested.v1" of order by |event| event.order_id;
    Closed "orders.closed.v1" of order by |event| event.order_id;
    Finished "orders.finished.v1" of order by |event| event.order_id;
}
