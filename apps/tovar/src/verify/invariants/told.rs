use super::rule::{Invariant, rule};

pub const INVARIANT: Invariant = Invariant {
    number: 9,
    name: "told",
    statement: "one notification per terminal outcome",
    checks: ::invariants::told::CHECKS,
    rules: &[
        rule(
            "an order that is over and whose end was not told",
            |order| order.is_terminal() && order.notified.is_none(),
        ),
        rule(
            "an order of which another end was told than it has",
            |order| {
                order.notified.is_some() && order.status.is_some() && order.notified != order.status
            },
        ),
    ],
};
