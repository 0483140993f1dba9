use contracts::{OrderSheet, orders::Placed};
use db::Tx;
use kernel::{Money, OrderId, SlotId, UserId, Zone};

use super::{OrderError, view_order::OrderView};
use crate::{
    State,
    domain::{
        deadline::deadline,
        facts::{Fact, Facts},
        lines::{self, Wish},
    },
    store::{facts::Learnt, goods, open, orders},
};

pub struct PlaceOrder {
    pub customer: UserId,
    pub key: String,
    pub lines: Vec<Wish>,
    pub zone: Zone,
    pub slot_id: SlotId,
    /// The total that the customer has seen, if they say so.
    pub expected_total: Option<Money>,
}

/// Takes an order at today's prices. Whether it can be paid, is in stock and can be delivered is
/// for the others to say.
pub async fn place_order(
    tx: &mut Tx<'_>,
    state: &State,
    wish: &PlaceOrder,
) -> Result<OrderView, OrderError> {
    if wish
        .expected_total
        .is_some_and(|expected| !expected.is_valid_input())
    {
        return Err(OrderError::ExpectedTotal);
    }
    let wanted = lines::sum(&wish.lines)?;
    let prices = goods::prices(tx, wanted.keys()).await?;
    let (lines, total) = lines::price(&wanted, &prices)?;
    if wish
        .expected_total
        .is_some_and(|expected| expected != total)
    {
        return Err(OrderError::PriceChanged { total });
    }
    let order = OrderSheet {
        order_id: OrderId::of(wish.customer),
        user_id: wish.customer,
        lines,
        currency: state.currency,
        total,
        zone: wish.zone.clone(),
        slot_id: wish.slot_id,
    };
    let now = tx.now().await?;
    let mut known = Facts::default();
    known.add(Fact::Placed, now);
    let deadline = deadline(&known, &state.patience);
    orders::add(tx, &order, &wish.key, now, deadline).await?;
    let placed = Learnt {
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
