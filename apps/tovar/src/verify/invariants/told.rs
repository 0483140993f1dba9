use super::{Check, Invariant, rule};

pub const INVARIANT: Invariant = Invariant {
    number: 9,
    name: "told",
    statement: "one notification per terminal outcome",
    checks: &[Check {
        service: "notifications",
        what: "an order whose end was told more than once",
        sql: "SELECT order_id::text, string_agg(kind, ', ' ORDER BY at)
              FROM notifications WHERE kind IN ('delivered', 'rejected', 'cancelled', 'refunded')
              GROUP BY order_id HAVING count(*) > 1",
    }],
    rules: &[
        rule("an order that is over and whose end was not told", |order| {
            order.is_terminal() && order.told.is_none()
        }),
        rule("an order of which another end was told than it has", |order| {
            order.told.is_some() && order.status.is_some() && order.told != order.status
        }),
    ],
};
