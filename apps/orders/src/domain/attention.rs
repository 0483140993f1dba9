use super::status::Status;

/// Why an operator must look at an order whose deadline has passed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Attention {
    /// The warehouse did not answer a stop.
    StopOverdue,
    /// No locker and no courier reported the outcome.
    DeliveryOverdue,
    /// The goods did not come back.
    ReturnOverdue,
    /// The money was not settled.
    SettlementOverdue,
}

impl Attention {
    pub const ALL: [Self; 4] = [
        Self::StopOverdue,
        Self::DeliveryOverdue,
        Self::ReturnOverdue,
        Self::SettlementOverdue,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StopOverdue => "stop_overdue",
            Self::DeliveryOverdue => "delivery_overdue",
            Self::ReturnOverdue => "return_overdue",
            Self::SettlementOverdue => "settlement_overdue",
        }
    }
}

/// What the sweeper does about an order that is late.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Overdue {
    /// Stops it, as it has not left yet.
    Stop,
    /// Asks an operator to look at it, as no stop would help.
    Ask(Attention),
}

/// What follows when the deadline of an order of this status passes; `None` for one that is over.
pub const fn overdue(status: Status) -> Option<Overdue> {
    match status {
        Status::Placed | Status::Held | Status::Reserved | Status::Booked | Status::Paid => {
            Some(Overdue::Stop)
        }
        Status::Stopping => Some(Overdue::Ask(Attention::StopOverdue)),
        Status::Shipped => Some(Overdue::Ask(Attention::DeliveryOverdue)),
        Status::Returning => Some(Overdue::Ask(Attention::ReturnOverdue)),
        Status::Closing => Some(Overdue::Ask(Attention::SettlementOverdue)),
        Status::Delivered | Status::Rejected | Status::Cancelled | Status::Refunded => None,
    }
}
