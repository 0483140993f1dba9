use chrono::{DateTime, Utc};
use contracts::OrderSheet;
use db::Tx;
use kernel::{Currency, Money, OrderId, Sku, SlotId, UserId, Zone};
use serde::Serialize;
use utoipa::ToSchema;

use super::OrderError;
use crate::{
    domain::{
        facts::{Fact, Facts},
        status::Status,
        timeline::{Step, timeline},
    },
    state::State,
    store::{facts, orders},
};

/// An order as its customer sees it.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrderView {
    pub id: OrderId,
    pub status: Status,
    /// Why the order did not go on, if it did not.
    pub outcome_reason: Option<String>,
    pub lines: Vec<LineView>,
    /// Minor units.
    pub total: Money,
    pub currency: Currency,
    pub zone: Zone,
    pub slot_id: SlotId,
    /// When the order is late, while it is under way.
    pub deadline: Option<DateTime<Utc>>,
    pub timeline: Vec<StepView>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct LineView {
    pub sku: Sku,
    pub quantity: u32,
    pub unit_price: Money,
}

/// One step, in the order of the saga.
#[derive(Debug, Serialize, ToSchema)]
pub struct StepView {
    pub at: DateTime<Utc>,
    pub event: String,
    pub text: String,
}

impl From<Step> for StepView {
    fn from(step: Step) -> Self {
        Self {
            at: step.at,
            event: step.event.to_owned(),
            text: step.text,
        }
    }
}

impl OrderView {
    pub fn of_sheet(order: &OrderSheet, facts: &Facts, deadline: Option<DateTime<Utc>>) -> Self {
        let outcome_reason = facts.iter().find_map(|(fact, _)| match fact {
            Fact::Closed { reason, .. } => Some(reason.clone()),
            _ => None,
        });
        let lines = order.lines.iter().map(|line| LineView {
            sku: line.sku.clone(),
            quantity: line.quantity,
            unit_price: line.unit_price,
        });
        Self {
            id: order.order_id,
            status: Status::of(facts),
            outcome_reason,
            lines: lines.collect(),
            total: order.total,
            currency: order.currency,
            zone: order.zone.clone(),
            slot_id: order.slot_id,
            deadline,
            timeline: timeline(facts).into_iter().map(Into::into).collect(),
        }
    }
}

/// An order that a caller names as theirs.
pub struct OwnedOrder {
    pub order_id: OrderId,
    pub owner: UserId,
}

/// The caller's own order. The order of another user counts as unknown.
pub async fn view_order(
    tx: &mut Tx<'_>,
    _: &State,
    command: &OwnedOrder,
) -> Result<OrderView, OrderError> {
    let found = orders::of_owner(tx, command.order_id, command.owner).await?;
    let (sheet, deadline) = found.ok_or(OrderError::UnknownOrder)?;
    let facts = facts::of(tx, command.order_id).await?;
    Ok(OrderView::of_sheet(&sheet, &facts, deadline))
}
