use db::Tx;
use kernel::OrderId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DeliveryError, follow_order};
use crate::{
    State,
    domain::booking::{self, CourierOutcome},
    store::bookings,
};

/// What became of a parcel at the door.
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
    pub outcome: Outcome,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct OutcomeView {
    pub order_id: OrderId,
    pub outcome: Outcome,
}

/// A courier reports what became of a parcel: once, and only while it is out for delivery.
pub async fn report_outcome(
    tx: &mut Tx<'_>,
    _: &State,
    wish: &ReportOutcome,
) -> Result<OutcomeView, DeliveryError> {
    let ReportOutcome { order_id, outcome } = *wish;
    let user_id = bookings::owner(tx, order_id)
        .await?
        .ok_or(DeliveryError::UnknownDelivery)?;
    let (before, place) = bookings::lock(tx, order_id).await?.unzip();
    let decision = booking::report(before, outcome.into())?;
    follow_order::carry_out(tx, (order_id, user_id), before, &decision, place.flatten()).await?;
    Ok(OutcomeView { order_id, outcome })
}
