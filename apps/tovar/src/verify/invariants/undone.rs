use super::rule::{Invariant, rule};

pub const INVARIANT: Invariant = Invariant {
    number: 5,
    name: "undone",
    statement: "rejected or cancelled: nothing is captured that was not refunded; refunded: the \
                refund is the capture; \
                neither leaves a hold, an active reservation or a booked slot",
    checks: &[],
    rules: &[
        rule(
            "an order that did not go through and keeps its customer's money",
            |order| {
                order.has_status(&["rejected", "cancelled", "refunded"])
                    && order.captured != order.refunded
            },
        ),
        rule(
            "a refunded order whose payment was not taken and given back",
            |order| {
                order.has_status(&["refunded"])
                    && !(order.captured > 0 && order.has_money(&["refunded"]))
            },
        ),
        rule("an order that is over and still holds money", |order| {
            order.is_terminal() && (order.held != 0 || order.has_money(&["held"]))
        }),
        rule(
            "an order that is over and still has goods set aside",
            |order| order.is_terminal() && order.has_parcel(&["reserved"]),
        ),
        rule(
            "an order that did not go through and whose goods are not on the shelf",
            |order| {
                (order.has_status(&["rejected", "cancelled"])
                    && order.has_parcel(&["shipped", "returned"]))
                    || (order.has_status(&["refunded"]) && !order.has_parcel(&["returned"]))
            },
        ),
        rule(
            "an order that did not go through and still has its place in a slot",
            |order| {
                order.has_status(&["rejected", "cancelled", "refunded"])
                    && order.has_booking(&["booked", "out_for_delivery", "delivered", "failed"])
            },
        ),
    ],
};
