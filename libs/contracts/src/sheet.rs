use kernel::{Currency, Money, OrderId, Sku, SlotId, UserId, Zone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// All that a participant needs to know of an order. Each event on the way to the delivery carries
/// it, so that no participant must wait for an event of another topic.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OrderSheet {
    pub order_id: OrderId,
    pub user_id: UserId,
    /// At least one; each SKU once, in the order of their names.
    pub lines: Vec<Line>,
    pub currency: Currency,
    /// The sum of quantity times unit price over all lines.
    pub total: Money,
    pub zone: Zone,
    pub slot_id: SlotId,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    pub sku: Sku,
    pub quantity: u32,
    pub unit_price: Money,
}
