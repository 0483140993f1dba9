use contracts::orders::StopReason;
use kernel::{Class, Classify};

use super::{
    facts::{Fact, Facts},
    status::Status,
};

/// Why an order cannot be stopped any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoStop {
    #[error("the parcel has left already")]
    AlreadyShipped,
    #[error("the order is closed already")]
    AlreadyClosed,
}

impl Classify for NoStop {
    fn class(&self) -> Class {
        Class::Conflict
    }
    fn code(&self) -> &'static str {
        match self {
            Self::AlreadyShipped => "already_shipped",
            Self::AlreadyClosed => "already_closed",
        }
    }
}

/// The fact that a command to stop the order adds: the request, or nothing if one is under way
/// already. The warehouse decides whether the stop comes in time.
pub fn stop(facts: &Facts, reason: StopReason) -> Result<Option<Fact>, NoStop> {
    match Status::of(facts) {
        Status::Placed | Status::Held | Status::Reserved | Status::Booked | Status::Paid => {
            Ok(Some(Fact::StopRequested { reason }))
        }
        Status::Stopping => Ok(None),
        Status::Shipped | Status::Returning | Status::Delivered => Err(NoStop::AlreadyShipped),
        Status::Closing | Status::Rejected | Status::Cancelled | Status::Refunded => {
            Err(NoStop::AlreadyClosed)
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use contracts::orders::Verdict;

    use super::*;

    fn known(facts: &[Fact]) -> Facts {
        let mut known = Facts::default();
        for fact in facts {
            known.add(fact.clone(), DateTime::UNIX_EPOCH);
        }
        known
    }

    #[test]
    fn a_stop_is_requested_once() {
        let request = Fact::StopRequested {
            reason: StopReason::Customer,
        };
        let placed = known(&[Fact::Placed]);
        assert_eq!(
            stop(&placed, StopReason::Customer),
            Ok(Some(request.clone()))
        );
        let stopping = known(&[Fact::Placed, Fact::Captured, request]);
        assert_eq!(stop(&stopping, StopReason::Operator), Ok(None));
    }

    #[test]
    fn what_has_left_or_is_over_cannot_be_stopped() {
        let closed = |outcome| Fact::Closed {
            outcome,
            reason: "recipient_absent".to_owned(),
        };
        for (facts, refusal) in [
            (vec![Fact::Shipped], NoStop::AlreadyShipped),
            (vec![Fact::ReleaseRefused], NoStop::AlreadyShipped),
            (vec![Fact::Shipped, Fact::Failed], NoStop::AlreadyShipped),
            (vec![Fact::Delivered], NoStop::AlreadyShipped),
            (vec![closed(Verdict::Rejected)], NoStop::AlreadyClosed),
            (
                vec![closed(Verdict::Refunded), Fact::Settled],
                NoStop::AlreadyClosed,
            ),
        ] {
            assert_eq!(
                stop(&known(&facts), StopReason::Customer),
                Err(refusal),
                "{facts:?}"
            );
        }
    }
}
