use chrono::{DateTime, TimeDelta, Utc};
use contracts::delivery::Handover;
use kernel::time::after;

use super::{
    facts::{Fact, Facts, Kind},
    status::Status,
};

/// How long an order may stay in a status before it is late.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimits {
    /// In each status before the shipment, and on the way to a parcel locker.
    pub before_shipment: TimeDelta,
    /// While the money goes back.
    pub closing: TimeDelta,
    /// While the goods come back.
    pub returning: TimeDelta,
    /// After the end of a courier's slot.
    pub courier: TimeDelta,
}

/// The time from which the order is late; `None` for one that is over.
pub fn deadline(facts: &Facts, limits: &TimeLimits) -> Option<DateTime<Utc>> {
    let status = Status::of(facts);
    let (since, allowed) = match status {
        Status::Delivered | Status::Rejected | Status::Cancelled | Status::Refunded => return None,
        Status::Shipped => return shipped_deadline(facts, limits),
        Status::Placed => (Kind::Placed, limits.before_shipment),
        Status::Held => (Kind::Held, limits.before_shipment),
        Status::Reserved => (Kind::Reserved, limits.before_shipment),
        Status::Booked => (Kind::Booked, limits.before_shipment),
        Status::Paid => (Kind::Captured, limits.before_shipment),
        Status::Stopping => (Kind::StopRequested, limits.before_shipment),
        Status::Closing => (Kind::Closed, limits.closing),
        Status::Returning if facts.has(Kind::Failed) => (Kind::Failed, limits.returning),
        Status::Returning => (Kind::Returned, limits.returning),
    };
    facts.at(since).map(|since| after(since, allowed))
}

/// The deadline of a shipped order: a courier has time until after the slot, while a locker takes a
/// parcel at once.
fn shipped_deadline(facts: &Facts, limits: &TimeLimits) -> Option<DateTime<Utc>> {
    let since = facts
        .at(Kind::Shipped)
        .or_else(|| facts.at(Kind::ReleaseRefused))?;
    Some(match facts.get(Kind::Booked) {
        Some(Fact::Booked {
            ends_at,
            handover: Handover::Courier,
        }) => after(since.max(*ends_at), limits.courier),
        Some(_) => after(since, limits.before_shipment),
        // The event of the booking has not arrived yet.
        None => after(since, limits.courier),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A slot may end so late that no time can be added to its end.
    #[test]
    fn a_slot_at_the_end_of_all_times_has_a_deadline() {
        let limits = TimeLimits {
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
                assert!(deadline(&known, &limits).is_some(), "{known:?}");
            }
        }
    }
}
