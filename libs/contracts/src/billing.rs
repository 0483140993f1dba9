//! The events of billing: of accounts, and of the money of an order.

use kernel::{Currency, Money, OrderId, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::OrderSheet;

/// A registered user has an account now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AccountOpened {
    pub user_id: UserId,
}

/// A deleted user's account is closed, and what was available is paid out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AccountClosed {
    pub user_id: UserId,
    pub paid_out: Money,
    pub currency: Currency,
}

/// Money came in from outside.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ToppedUp {
    pub user_id: UserId,
    pub amount: Money,
    pub currency: Currency,
}

/// A user took money out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Withdrawn {
    pub user_id: UserId,
    pub amount: Money,
    pub currency: Currency,
}

/// The order's total is set aside.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Held {
    pub order: OrderSheet,
}

/// The order's total could not be set aside.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HoldRefused {
    pub order_id: OrderId,
    pub user_id: UserId,
    pub reason: HoldRefusal,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HoldRefusal {
    InsufficientFunds,
    NoAccount,
    AccountClosed,
}

impl HoldRefusal {
    /// The reason as orders, notifications and the API name it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::InsufficientFunds => "insufficient_funds",
            Self::NoAccount => "no_account",
            Self::AccountClosed => "account_closed",
        }
    }
}

/// The order is paid. From here on it can only go forward, or come back as a whole.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Captured {
    pub order: OrderSheet,
}

/// The answer to the verdict: the order's money is where it belongs. It is sent also where nothing
/// was held.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Settled {
    pub order_id: OrderId,
    pub user_id: UserId,
    /// The money that was held and is available again.
    pub released: Money,
    /// The money that was captured and is paid back.
    pub refunded: Money,
    pub currency: Currency,
}

crate::entry::events! { "billing":
    AccountOpened "billing.account_opened.v1" by |event| event.user_id;
    AccountClosed "billing.account_closed.v1" by |event| event.user_id;
    ToppedUp "billing.topped_up.v1" by |event| event.user_id;
    Withdrawn "billing.withdrawn.v1" by |event| event.user_id;
    Held "billing.held.v1" of order by |event| event.order.order_id;
    HoldRefused "billing.hold_refused.v1" of order by |event| event.order_id;
    Captured "billing.captured.v1" of order by |event| event.order.order_id;
    Settled "billing.settled.v1" of order by |event| event.order_id;
}
