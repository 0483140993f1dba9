use contracts::orders::Outcome;
use kernel::{Currency, Money, OrderId};

use super::{amount, reason};

/// Something that happened to a user, who gets a notification of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    Registered,
    ToppedUp {
        amount: Money,
        currency: Currency,
    },
    Withdrawn {
        amount: Money,
        currency: Currency,
    },
    Shipped {
        order_id: OrderId,
    },
    Finished {
        order_id: OrderId,
        outcome: Outcome,
        reason: Option<String>,
    },
}

impl News {
    /// The stable name of the kind of news, for programs.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::ToppedUp { .. } => "topped_up",
            Self::Withdrawn { .. } => "withdrawn",
            Self::Shipped { .. } => "shipped",
            Self::Finished { outcome, .. } => match outcome {
                Outcome::Delivered => "delivered",
                Outcome::Rejected => "rejected",
                Outcome::Cancelled => "cancelled",
                Outcome::Refunded => "refunded",
            },
        }
    }

    /// The order that the news is about, if it is about one.
    pub const fn order_id(&self) -> Option<OrderId> {
        match self {
            Self::Shipped { order_id } | Self::Finished { order_id, .. } => Some(*order_id),
            Self::Registered | Self::ToppedUp { .. } | Self::Withdrawn { .. } => None,
        }
    }

    /// The news as the user reads it.
    pub fn text(&self) -> String {
        match self {
            Self::Registered => "Welcome to the store. Your account is being opened.".to_owned(),
            Self::ToppedUp { amount, currency } => {
                format!("You topped up {}.", amount::in_words(*amount, *currency))
            }
            Self::Withdrawn { amount, currency } => {
                format!("You withdrew {}.", amount::in_words(*amount, *currency))
            }
            Self::Shipped { .. } => "Your order is on its way.".to_owned(),
            Self::Finished {
                outcome, reason, ..
            } => finished(*outcome, reason.as_deref()),
        }
    }
}

fn finished(outcome: Outcome, reason: Option<&str>) -> String {
    let (what, money) = match outcome {
        Outcome::Delivered => ("Your order was delivered", None),
        Outcome::Rejected => (
            "We could not take your order",
            Some("You do not pay for it."),
        ),
        Outcome::Cancelled => ("Your order was cancelled", Some("You do not pay for it.")),
        Outcome::Refunded => (
            "Your order came back to us",
            Some("You have your money back."),
        ),
    };
    let why = reason
        .map(|code| format!(": {}", reason::in_words(code)))
        .unwrap_or_default();
    let money = money.map(|money| format!(" {money}")).unwrap_or_default();
    format!("{what}{why}.{money}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(outcome: Outcome, reason: Option<&str>) -> News {
        News::Finished {
            order_id: OrderId::new(),
            outcome,
            reason: reason.map(str::to_owned),
        }
    }

    #[test]
    fn an_end_says_what_became_of_the_order_why_and_where_the_money_is() {
        let told = |outcome, reason| finished(outcome, reason).text();
        assert_eq!(told(Outcome::Delivered, None), "Your order was delivered.");
        assert_eq!(
            told(Outcome::Rejected, Some("slot_full")),
            "We could not take your order: the delivery slot is full. You do not pay for it."
        );
        assert_eq!(
            told(Outcome::Refunded, Some("recipient_absent")),
            "Your order came back to us: nobody was there to take the parcel. \
             You have your money back."
        );
        assert_eq!(
            told(Outcome::Cancelled, None),
            "Your order was cancelled. You do not pay for it."
        );
    }

    #[test]
    fn each_outcome_is_a_kind_of_its_own() {
        let outcomes = [
            Outcome::Delivered,
            Outcome::Rejected,
            Outcome::Cancelled,
            Outcome::Refunded,
        ];
        let kinds = outcomes.map(|outcome| finished(outcome, None).kind());
        assert_eq!(kinds, ["delivered", "rejected", "cancelled", "refunded"]);
    }

    #[test]
    fn only_news_of_an_order_names_one() {
        let order_id = OrderId::new();
        assert_eq!(News::Shipped { order_id }.order_id(), Some(order_id));
        assert_eq!(News::Registered.order_id(), None);
    }

    #[test]
    fn money_is_told_as_people_write_it() {
        let amount = Money::from_minor(1250);
        let currency = "EUR".parse().unwrap();
        assert_eq!(
            News::ToppedUp { amount, currency }.text(),
            "You topped up 12.50 EUR."
        );
        assert_eq!(
            News::Withdrawn { amount, currency }.text(),
            "You withdrew 12.50 EUR."
        );
    }
}
