use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use contracts::{
    billing::HoldRefusal,
    delivery::{BookingRefusal, Handover},
    orders::{Outcome, StopReason, Verdict},
};
use kernel::Sku;
use serde::{Deserialize, Serialize};

/// Something that is known of an order. The variants stand in the order of the saga, in which the
/// timeline shows them.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fact {
    Placed,
    Held,
    HoldRefused {
        reason: HoldRefusal,
    },
    Reserved,
    ReserveRefused {
        sku: Sku,
    },
    Booked {
        ends_at: DateTime<Utc>,
        handover: Handover,
    },
    BookingRefused {
        reason: BookingRefusal,
    },
    Captured,
    Shipped,
    StopRequested {
        reason: StopReason,
    },
    Released,
    ReleaseRefused,
    Delivered,
    Failed,
    Returned,
    Closed {
        outcome: Verdict,
        reason: String,
    },
    Settled,
    Finished {
        outcome: Outcome,
        reason: Option<String>,
    },
}

/// A fact without its details. An order has at most one fact of each kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Placed,
    Held,
    HoldRefused,
    Reserved,
    ReserveRefused,
    Booked,
    BookingRefused,
    Captured,
    Shipped,
    StopRequested,
    Released,
    ReleaseRefused,
    Delivered,
    Failed,
    Returned,
    Closed,
    Settled,
    Finished,
}

impl Kind {
    /// The kind as serde names it, for the table of facts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Held => "held",
            Self::HoldRefused => "hold_refused",
            Self::Reserved => "reserved",
            Self::ReserveRefused => "reserve_refused",
            Self::Booked => "booked",
            Self::BookingRefused => "booking_refused",
            Self::Captured => "captured",
            Self::Shipped => "shipped",
            Self::StopRequested => "stop_requested",
            Self::Released => "released",
            Self::ReleaseRefused => "release_refused",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Returned => "returned",
            Self::Closed => "closed",
            Self::Settled => "settled",
            Self::Finished => "finished",
        }
    }

    /// The type of the event that carries it, without the version.
    pub const fn event(self) -> &'static str {
        match self {
            Self::Placed => "orders.placed",
            Self::Held => "billing.held",
            Self::HoldRefused => "billing.hold_refused",
            Self::Reserved => "warehouse.reserved",
            Self::ReserveRefused => "warehouse.reserve_refused",
            Self::Booked => "delivery.booked",
            Self::BookingRefused => "delivery.booking_refused",
            Self::Captured => "billing.captured",
            Self::Shipped => "warehouse.shipped",
            Self::StopRequested => "orders.stop_requested",
            Self::Released => "warehouse.released",
            Self::ReleaseRefused => "warehouse.release_refused",
            Self::Delivered => "delivery.delivered",
            Self::Failed => "delivery.failed",
            Self::Returned => "warehouse.returned",
            Self::Closed => "orders.closed",
            Self::Settled => "billing.settled",
            Self::Finished => "orders.finished",
        }
    }
}

impl Fact {
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Placed => Kind::Placed,
            Self::Held => Kind::Held,
            Self::HoldRefused { .. } => Kind::HoldRefused,
            Self::Reserved => Kind::Reserved,
            Self::ReserveRefused { .. } => Kind::ReserveRefused,
            Self::Booked { .. } => Kind::Booked,
            Self::BookingRefused { .. } => Kind::BookingRefused,
            Self::Captured => Kind::Captured,
            Self::Shipped => Kind::Shipped,
            Self::StopRequested { .. } => Kind::StopRequested,
            Self::Released => Kind::Released,
            Self::ReleaseRefused => Kind::ReleaseRefused,
            Self::Delivered => Kind::Delivered,
            Self::Failed => Kind::Failed,
            Self::Returned => Kind::Returned,
            Self::Closed { .. } => Kind::Closed,
            Self::Settled => Kind::Settled,
            Self::Finished { .. } => Kind::Finished,
        }
    }
}

/// The facts of an order, each with the time from which it is known.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Facts(BTreeMap<Kind, (Fact, DateTime<Utc>)>);

impl Facts {
    /// Adds a fact. `false` if one of its kind was known, which then stays as it was.
    pub fn add(&mut self, fact: Fact, at: DateTime<Utc>) -> bool {
        let kind = fact.kind();
        if self.0.contains_key(&kind) {
            return false;
        }
        self.0.insert(kind, (fact, at));
        true
    }

    /// The number of facts.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    pub fn has(&self, kind: Kind) -> bool {
        self.0.contains_key(&kind)
    }

    pub fn get(&self, kind: Kind) -> Option<&Fact> {
        self.0.get(&kind).map(|(fact, _)| fact)
    }

    pub fn at(&self, kind: Kind) -> Option<DateTime<Utc>> {
        self.0.get(&kind).map(|(_, at)| *at)
    }

    /// All facts, in the order of the saga.
    pub fn iter(&self) -> impl Iterator<Item = (&Fact, DateTime<Utc>)> {
        self.0.values().map(|(fact, at)| (fact, *at))
    }

    /// The reason of a refusal, if a participant refused.
    pub fn refusal(&self) -> Option<&'static str> {
        self.iter().find_map(|(fact, _)| match fact {
            Fact::HoldRefused { reason } => Some(reason.code()),
            Fact::ReserveRefused { .. } => Some(OUT_OF_STOCK),
            Fact::BookingRefused { reason } => Some(reason.code()),
            _ => None,
        })
    }
}

/// The reason of an order that the warehouse refused.
pub const OUT_OF_STOCK: &str = "out_of_stock";

#[cfg(test)]
mod tests {
    use super::*;

    /// A kind is written to the table as text, and read from the fact's JSON.
    #[test]
    fn a_kind_is_called_as_in_the_json_of_its_fact() {
        for fact in [
            Fact::Placed,
            Fact::HoldRefused {
                reason: HoldRefusal::NoAccount,
            },
            Fact::StopRequested {
                reason: StopReason::Customer,
            },
            Fact::Finished {
                outcome: Outcome::Delivered,
                reason: None,
            },
        ] {
            let json = serde_json::to_value(&fact).unwrap();
            assert_eq!(json["kind"], fact.kind().as_str());
            assert_eq!(json["kind"], serde_json::to_value(fact.kind()).unwrap());
        }
    }
}
