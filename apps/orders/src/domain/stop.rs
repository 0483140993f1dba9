use contracts::orders::StopReason;

use super::{
    facts::{Fact, Facts},
    status::Status,
};

/// Why an order can no longer be stopped.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoStop {
    #[error("the order has left the house")]
    AlreadyShipped,
    #[error("the order is over, or about to be")]
    AlreadyClosed,
}

/// A stop is asked for at most once, and only before the goods are known to have left. `None`: it was asked for
/// already, and the warehouse has not answered yet.
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
