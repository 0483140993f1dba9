use chrono::{DateTime, TimeDelta, Utc};
use contracts::delivery::Handover;
use kernel::time::after;

use super::{
    facts::{Fact, Facts, Kind},
    status::Status,
};

/// How long an order may stay where it is.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// In each status before shipment, and with a parcel locker.
    pub before_shipment: TimeDelta,
    /// While the money goes back.
    pub closing: TimeDelta,
    /// While the goods come back.
    pub returning: TimeDelta,
    /// After the end of a courier's slot.
    pub courier: TimeDelta,
}

/// When the order is late, if it is under way.
pub fn deadline(facts: &Facts, patience: &Patience) -> Option<DateTime<Utc>> {
    let status = Status::of(facts);
    let (since, allowed) = match status {
        Status::Delivered | Status::Rejected | Status::Cancelled | Status::Refunded => return None,
        Status::Shipped => return shipped_deadline(facts, patience),
        Status::Placed => (Kind::Placed, patience.before_shipment),
        Status::Held => (Kind::Held, patience.before_shipment),
        Status::Reserved => (Kind::Reserved, patience.before_shipment),
        Status::Booked => (Kind::Booked, patience.before_shipment),
        Status::Paid => (Kind::Captured, patience.before_shipment),
        Status::Stopping => (Kind::StopRequested, patience.before_shipment),
        Status::Closing => (Kind::Closed, patience.closing),
        Status::Returning if facts.has(Kind::Failed) => (Kind::Failed, patience.returning),
        Status::Returning => (Kind::Returned, patience.returning),
    };
    facts.at(since).map(|since| after(since, allowed))
}

/// A courier has until after the slot; a locker takes a parcel at once.
fn shipped_deadline(facts: &Facts, patience: &Patience) -> Option<DateTime<Utc>> {
    let since = facts
        .at(Kind::Shipped)
        .or_else(|| facts.at(Kind::ReleaseRefused))?;
    Some(match facts.get(Kind::Booked) {
        Some(Fact::Booked {
            ends_at,
            handover: Handover::Courier,
        }) => after(since.max(*ends_at), patience.courier),
        Some(_) => after(since, patience.before_shipment),
        // The booking is still under way to us.
        None => after(since, patience.courier),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A slot may end later than any time that can be reckoned with.
    #[test]
    fn a_slot_at_the_end_of_all_times_has_a_deadline() {
        let patience = Patience {
            before_shipment: TimeDelta::seconds(1),
            closing: TimeDelta::seconds(1),
            returning: TimeDelta::seconds(1),
            courier: TimeDelta::hours(1),
        };
        let last = DateTime::<Utc>::MAX_UTC;
        for handover in [Handover::Locker, Handover::Courier] {
            let mut known = Facts::default();
            for fact in [
                Fact::Placed,
                Fact::Held,
                Fact::Reserved,
                Fact::Booked {
                    ends_at: last,
                    handover,
                },
                Fact::Captured,
                Fact::Shipped,
            ] {
                known.add(fact, last);
                assert!(deadline(&known, &patience).is_some(), "{known:?}");
            }
        }
    }
}
