use kernel::{Currency, Money, OrderId, Sku, SlotId, UserId, Zone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// All that a participant needs to know of an order. It rides on every event of the forward path,
/// so that no participant needs another topic to have arrived first.
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
