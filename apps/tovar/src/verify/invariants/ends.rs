use super::rule::{Invariant, Rule, rule};
use crate::verify::order::Order;

pub const INVARIANT: Invariant = Invariant {
    number: 3,
    name: "ends",
    statement: "each order is in exactly one terminal state, or shipped and waiting for its \
                courier; one order per caller \
                and key within the key's lifetime",
    checks: ::invariants::ends::CHECKS,
    rules: &[
        Rule {
            what: STANDS_STILL,
            broken: |order| order.has_status(&BEFORE_SHIPMENT),
            until_deadline: true,
        },
        rule(STANDS_STILL, |order| {
            order.status.is_some()
                && !(order.is_terminal()
                    || order.has_status(&BEFORE_SHIPMENT)
                    || waits_for_courier(order))
        }),
        rule(
            "money, goods, a slot or a notification of an order that orders does not know",
            |order| order.status.is_none(),
        ),
    ],
};

const STANDS_STILL: &str = "an order that stands still before its end";

/// The statuses in which the sweeper stops an order after its deadline. In later ones it only calls
/// for an operator.
const BEFORE_SHIPMENT: [&str; 5] = ["placed", "held", "reserved", "booked", "paid"];

fn waits_for_courier(order: &Order) -> bool {
    order.has_status(&["shipped"]) && order.has_booking(&["out_for_delivery"])
}
