use super::rule::{Invariant, rule};

pub const INVARIANT: Invariant = Invariant {
    number: 4,
    name: "shipping",
    statement: "shipped implies captured; delivered implies shipped",
    checks: &[],
    rules: &[
        rule(
            "a parcel that was shipped and not paid for in full",
            |order| {
                order.has_parcel(&["shipped", "returned"])
                    && !(order.total.is_some_and(|total| total == order.captured)
                        && order.has_money(&["captured", "refunded"]))
            },
        ),
        rule("a delivery of a parcel that was not shipped", |order| {
            order.has_booking(&["out_for_delivery", "delivered", "failed"])
                && !order.has_parcel(&["shipped", "returned"])
        }),
        rule(
            "an order that is delivered without its parcel's being delivered",
            |order| {
                order.has_status(&["delivered"])
                    && !(order.has_booking(&["delivered"]) && order.has_parcel(&["shipped"]))
            },
        ),
    ],
};
