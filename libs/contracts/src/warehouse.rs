//! The events of the warehouse: of goods, and of an order's parcel.

use kernel::{Currency, Money, OrderId, Sku, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::OrderSheet;

/// The name and price of goods, as they are now. It is sent on every change of either.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct GoodsListed {
    pub sku: Sku,
    pub name: String,
    pub price: Money,
    pub currency: Currency,
    /// Counts the changes of these goods from 1. It is 0 in an event of an earlier release, which
    /// does not name it.
    #[serde(default)]
    pub version: i64,
}

/// The order's goods are set aside.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Reserved {
    pub order: OrderSheet,
}

/// There is too little of one of the order's goods.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReserveRefused {
    pub order_id: OrderId,
    pub user_id: UserId,
    pub sku: Sku,
}

/// The parcel has left the house.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Shipped {
    pub order: OrderSheet,
}

/// The parcel came back, and its goods are on the shelf again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Returned {
    pub order_id: OrderId,
    pub user_id: UserId,
}

/// The answer to a stop: the goods have not left and will not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Released {
    pub order_id: OrderId,
    pub user_id: UserId,
}

/// The answer to a stop that came too late.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReleaseRefused {
    pub order_id: OrderId,
    pub user_id: UserId,
}

crate::entry::events! { "warehouse":
    GoodsListed "warehouse.goods_listed.v1" by |event| event.sku;
    Reserved "warehouse.reserved.v1" of order by |event| event.order.order_id;
    ReserveRefused "warehouse.reserve_refused.v1" of order by |event| event.order_id;
    Shipped "warehouse.shipped.v1" of order by |event| event.order.order_id;
    Returned "warehouse.returned.v1" of order by |event| event.order_id;
    Released "warehouse.released.v1" of order by |event| event.order_id;
    ReleaseRefused "warehouse.release_refused.v1" of order by |event| event.order_id;
}
