use contracts::{OrderSheet, orders::Placed};
use db::Tx;
use kernel::{Money, OrderId, SlotId, UserId, Zone};

use super::{OrderError, view_order::OrderView};
use crate::{
    domain::{
        deadline::deadline,
        facts::{Fact, Facts},
        lines::{self, WantedLine},
    },
    state::State,
    store::{facts::NumberedFact, goods, open, orders},
};

pub struct PlaceOrder {
    pub customer: UserId,
    pub key: String,
    pub lines: Vec<WantedLine>,
    pub zone: Zone,
    pub slot_id: SlotId,
    /// The total that the customer has seen, if the caller gives it.
    pub expected_total: Option<Money>,
}

/// Takes an order at today's prices. Billing, warehouse and delivery decide whether it can be paid,
/// is in stock and can be delivered.
pub async fn place_order(
    tx: &mut Tx<'_>,
    state: &State,
    command: &PlaceOrder,
) -> Result<OrderView, OrderError> {
    if command
        .expected_total
        .is_some_and(|expected| !expected.is_valid_input())
    {
        return Err(OrderError::ExpectedTotal);
    }
    let wanted = lines::sum(&command.lines)?;
    let prices = goods::prices(tx, wanted.keys()).await?;
    let (lines, total) = lines::price(&wanted, &prices)?;
    if command
        .expected_total
        .is_some_and(|expected| expected != total)
    {
        return Err(OrderError::PriceChanged { total });
    }
    let order = OrderSheet {
        order_id: OrderId::of(command.customer),
        user_id: command.customer,
        lines,
        currency: state.currency,
        total,
        zone: command.zone.clone(),
        slot_id: command.slot_id,
    };
    let now = tx.now().await?;
    let mut known = Facts::default();
    known.add(Fact::Placed, now);
    let deadline = deadline(&known, &state.time_limits);
    orders::add(tx, &order, &command.key, now, deadline).await?;
    let placed = NumberedFact {
        number: 1,
        fact: Fact::Placed,
        at: now,
    };
    open::add_facts(tx, vec![(order.order_id, placed)]).await?;
    let view = OrderView::of_sheet(&order, &known, deadline);
    outbox::publish(tx, &Placed { order })?;
    let metrics = state.metrics.clone();
    tx.when_committed(move || {
        metrics.placed.inc();
    });
    Ok(view)
}
