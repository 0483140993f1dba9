use db::Tx;
use kernel::OrderId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DeliveryError, follow_order};
use crate::{
    domain::{
        booking::{self, CourierOutcome},
        staff::{Parcel, Staff},
    },
    state::State,
    store::bookings,
};

/// The outcome of a parcel at the door.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Delivered,
    RecipientAbsent,
}

impl From<Outcome> for CourierOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Delivered => Self::Delivered,
            Outcome::RecipientAbsent => Self::RecipientAbsent,
        }
    }
}

pub struct ReportOutcome {
    pub order_id: OrderId,
    /// The caller.
    pub by: Staff,
    pub outcome: Outcome,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct OutcomeView {
    pub order_id: OrderId,
    pub outcome: Outcome,
}

/// Takes the report of a courier, or a manager, on a parcel's outcome: once, and only while the
/// parcel is out for delivery.
pub async fn report_outcome(
    tx: &mut Tx<'_>,
    _: &State,
    command: &ReportOutcome,
) -> Result<OutcomeView, DeliveryError> {
    let ReportOutcome {
        order_id,
        by,
        outcome,
    } = *command;
    let row = bookings::locked(tx, order_id)
        .await?
        .ok_or(DeliveryError::UnknownDelivery)?;
    by.may_report(Parcel {
        customer: row.user_id,
        courier: row.courier_id,
    })?;
    let before = Some(row.booking);
    let decision = booking::report(before, outcome.into())?;
    follow_order::carry_out(tx, (order_id, row.user_id), before, &decision, row.place).await?;
    Ok(OutcomeView { order_id, outcome })
}
