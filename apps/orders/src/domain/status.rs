use contracts::orders::Verdict;
use serde::{Deserialize, Serialize};

use super::facts::{Fact, Facts, Kind};

/// Where an order is. It is derived from the order's facts, never set.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Placed,
    Held,
    Reserved,
    Booked,
    Paid,
    Stopping,
    Shipped,
    Returning,
    Closing,
    Delivered,
    Rejected,
    Cancelled,
    Refunded,
}

impl Status {
    pub const ALL: [Self; 13] = [
        Self::Placed,
        Self::Held,
        Self::Reserved,
        Self::Booked,
        Self::Paid,
        Self::Stopping,
        Self::Shipped,
        Self::Returning,
        Self::Closing,
        Self::Delivered,
        Self::Rejected,
        Self::Cancelled,
        Self::Refunded,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Held => "held",
            Self::Reserved => "reserved",
            Self::Booked => "booked",
            Self::Paid => "paid",
            Self::Stopping => "stopping",
            Self::Shipped => "shipped",
            Self::Returning => "returning",
            Self::Closing => "closing",
            Self::Delivered => "delivered",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::Refunded => "refunded",
        }
    }

    /// Whether nothing changes any more.
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Delivered | Self::Rejected | Self::Cancelled | Self::Refunded
        )
    }

    /// Whether the parcel has left, or the order is over.
    pub const fn is_shipped_or_over(self) -> bool {
        self.is_terminal() || matches!(self, Self::Shipped | Self::Returning)
    }

    /// The status that follows from the facts. The latest fact of the saga decides, as it implies
    /// the earlier ones, which may arrive after it.
    pub fn of(facts: &Facts) -> Self {
        let has = |kind| facts.has(kind);
        if let Some(Fact::Closed { outcome, .. }) = facts.get(Kind::Closed) {
            return match outcome {
                _ if !has(Kind::Settled) => Self::Closing,
                Verdict::Rejected => Self::Rejected,
                Verdict::Cancelled => Self::Cancelled,
                Verdict::Refunded => Self::Refunded,
            };
        }
        if has(Kind::Delivered) {
            Self::Delivered
        } else if has(Kind::Failed) || has(Kind::Returned) {
            Self::Returning
        } else if has(Kind::Shipped) || has(Kind::ReleaseRefused) {
            Self::Shipped
        } else if has(Kind::StopRequested) {
            Self::Stopping
        } else if has(Kind::Captured) {
            Self::Paid
        } else if has(Kind::Booked) {
            Self::Booked
        } else if has(Kind::Reserved) {
            Self::Reserved
        } else if has(Kind::Held) {
            Self::Held
        } else {
            Self::Placed
        }
    }
}
