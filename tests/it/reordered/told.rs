use chrono::DateTime;
use contracts::{
    OrderSheet,
    billing::{self, HoldRefusal},
    delivery::{self, BookingRefusal, FailedReason, Handover},
    orders::{self, Outcome, StopReason, Verdict},
    users, warehouse,
};
use db::Tx;
use kernel::{Event, EventId, Money};
use outbox::PublishError;

use Told::*;

/// An event of a story.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Told {
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
    ClosedRejected,
    ClosedCancelled,
    ClosedRefunded,
    Settled,
    FinishedDelivered,
    FinishedRejected,
    FinishedCancelled,
    FinishedRefunded,
    Registered,
    Deleted,
    TokensVoid,
    ToppedUp,
    Withdrawn,
    Listed,
}

impl Told {
    pub const fn topic(self) -> &'static str {
        self.contract().0
    }

    pub const fn event_type(self) -> &'static str {
        self.contract().1
    }

    const fn contract(self) -> (&'static str, &'static str) {
        const fn of<E: Event>() -> (&'static str, &'static str) {
            (E::TOPIC, E::TYPE)
        }
        match self {
            Placed => of::<orders::Placed>(),
            Held => of::<billing::Held>(),
            HoldRefused => of::<billing::HoldRefused>(),
            Reserved => of::<warehouse::Reserved>(),
            ReserveRefused => of::<warehouse::ReserveRefused>(),
            Booked => of::<delivery::Booked>(),
            BookingRefused => of::<delivery::BookingRefused>(),
            Captured => of::<billing::Captured>(),
            Shipped => of::<warehouse::Shipped>(),
            StopRequested => of::<orders::StopRequested>(),
            Released => of::<warehouse::Released>(),
            ReleaseRefused => of::<warehouse::ReleaseRefused>(),
            Delivered => of::<delivery::Delivered>(),
            Failed => of::<delivery::Failed>(),
            Returned => of::<warehouse::Returned>(),
            ClosedRejected | ClosedCancelled | ClosedRefunded => of::<orders::Closed>(),
            Settled => of::<billing::Settled>(),
            FinishedDelivered | FinishedRejected | FinishedCancelled | FinishedRefunded => {
                of::<orders::Finished>()
            }
            Registered => of::<users::UserRegistered>(),
            Deleted => of::<users::UserDeleted>(),
            TokensVoid => of::<users::TokensVoid>(),
            ToppedUp => of::<billing::ToppedUp>(),
            Withdrawn => of::<billing::Withdrawn>(),
            Listed => of::<warehouse::GoodsListed>(),
        }
    }

    /// Whether a person must ask this service for it over HTTP.
    pub fn is_by_hand(self, service: &str) -> bool {
        self.topic() == service && matches!(self, StopRequested | Delivered | Failed)
    }

    /// Puts it into the outbox of its producer.
    #[expect(clippy::too_many_lines, reason = "it is one case for each event")]
    pub fn publish(self, tx: &mut Tx<'_>, sheet: &OrderSheet) -> Result<EventId, PublishError> {
        let OrderSheet {
            order_id, user_id, ..
        } = *sheet;
        let (order, currency, amount) = (sheet.clone(), sheet.currency, Money::from_minor(100));
        let sku = sheet.lines[0].sku.clone();
        match self {
            Placed => outbox::publish(tx, &orders::Placed { order }),
            Held => outbox::publish(tx, &billing::Held { order }),
            HoldRefused => {
                let reason = HoldRefusal::InsufficientFunds;
                let event = billing::HoldRefused {
                    order_id,
                    user_id,
                    reason,
                };
                outbox::publish(tx, &event)
            }
            Reserved => outbox::publish(tx, &warehouse::Reserved { order }),
            ReserveRefused => {
                let event = warehouse::ReserveRefused {
                    order_id,
                    user_id,
                    sku,
                };
                outbox::publish(tx, &event)
            }
            Booked => {
                let starts_at = DateTime::from_timestamp(4_000_000_000, 0).unwrap();
                let event = delivery::Booked {
                    order,
                    starts_at,
                    ends_at: starts_at,
                    handover: Handover::Courier,
                };
                outbox::publish(tx, &event)
            }
            BookingRefused => {
                let reason = BookingRefusal::SlotFull;
                let event = delivery::BookingRefused {
                    order_id,
                    user_id,
                    reason,
                };
                outbox::publish(tx, &event)
            }
            Captured => outbox::publish(tx, &billing::Captured { order }),
            Shipped => outbox::publish(tx, &warehouse::Shipped { order }),
            StopRequested => {
                let reason = StopReason::Customer;
                let event = orders::StopRequested {
                    order_id,
                    user_id,
                    reason,
                    zone: Some(sheet.zone.clone()),
                };
                outbox::publish(tx, &event)
            }
            Released => outbox::publish(tx, &warehouse::Released { order_id, user_id }),
            ReleaseRefused => outbox::publish(tx, &warehouse::ReleaseRefused { order_id, user_id }),
            Delivered => outbox::publish(tx, &delivery::Delivered { order_id, user_id }),
            Failed => {
                let reason = FailedReason::RecipientAbsent;
                let event = delivery::Failed {
                    order_id,
                    user_id,
                    reason,
                };
                outbox::publish(tx, &event)
            }
            Returned => outbox::publish(tx, &warehouse::Returned { order_id, user_id }),
            ClosedRejected => closed(tx, sheet, Verdict::Rejected),
            ClosedCancelled => closed(tx, sheet, Verdict::Cancelled),
            ClosedRefunded => closed(tx, sheet, Verdict::Refunded),
            Settled => {
                let event = billing::Settled {
                    order_id,
                    user_id,
                    released: sheet.total,
                    refunded: Money::ZERO,
                    currency,
                };
                outbox::publish(tx, &event)
            }
            FinishedDelivered => finished(tx, sheet, Outcome::Delivered, None),
            FinishedRejected => finished(tx, sheet, Outcome::Rejected, Some("slot_full")),
            FinishedCancelled => finished(tx, sheet, Outcome::Cancelled, Some("customer")),
            FinishedRefunded => finished(tx, sheet, Outcome::Refunded, Some("recipient_absent")),
            Registered => outbox::publish(tx, &users::UserRegistered { user_id }),
            Deleted => outbox::publish(tx, &users::UserDeleted { user_id }),
            TokensVoid => {
                let event = users::TokensVoid {
                    user_id,
                    generation: 1,
                };
                outbox::publish(tx, &event)
            }
            ToppedUp => {
                let event = billing::ToppedUp {
                    user_id,
                    amount,
                    currency,
                };
                outbox::publish(tx, &event)
            }
            Withdrawn => {
                let event = billing::Withdrawn {
                    user_id,
                    amount,
                    currency,
                };
                outbox::publish(tx, &event)
            }
            Listed => {
                let event = warehouse::GoodsListed {
                    sku: order_id.to_string().parse().unwrap(),
                    name: "Listed".to_owned(),
                    price: amount,
                    currency,
                    version: 1,
                };
                outbox::publish(tx, &event)
            }
        }
    }
}

fn closed(tx: &mut Tx<'_>, sheet: &OrderSheet, outcome: Verdict) -> Result<EventId, PublishError> {
    let event = orders::Closed {
        order_id: sheet.order_id,
        user_id: sheet.user_id,
        outcome,
        reason: "slot_full".to_owned(),
        zone: Some(sheet.zone.clone()),
    };
    outbox::publish(tx, &event)
}

fn finished(
    tx: &mut Tx<'_>,
    sheet: &OrderSheet,
    outcome: Outcome,
    reason: Option<&str>,
) -> Result<EventId, PublishError> {
    let event = orders::Finished {
        order_id: sheet.order_id,
        user_id: sheet.user_id,
        outcome,
        reason: reason.map(ToOwned::to_owned),
    };
    outbox::publish(tx, &event)
}
