use crate::check::Check;

pub const CHECKS: &[Check] = &[
    Check {
        service: "billing",
        what: "an account with a negative balance",
        sql: "SELECT user_id::text, format('available %s, held %s', available, held)
              FROM accounts WHERE available < 0 OR held < 0",
    },
    Check {
        service: "warehouse",
        what: "goods with a negative stock, or more reserved than on hand",
        sql: "SELECT sku, format('on hand %s, reserved %s', on_hand, reserved)
              FROM goods WHERE reserved < 0 OR reserved > on_hand",
    },
    Check {
        service: "warehouse",
        what: "goods whose reserved pieces are not those of active reservations",
        sql: "SELECT g.sku,
                format('reserved %s, reservations %s', g.reserved, coalesce(r.reserved, 0))
              FROM goods g LEFT JOIN (
                SELECT sku, sum(quantity) reserved FROM parcel_lines JOIN parcels USING (order_id)
                WHERE state = 'reserved' GROUP BY sku) r USING (sku)
              WHERE g.reserved <> coalesce(r.reserved, 0)",
    },
    Check {
        service: "warehouse",
        what: "goods whose pieces on hand are not those of their movements",
        sql: "SELECT g.sku, format('on hand %s, movements %s', g.on_hand, coalesce(m.moved, 0))
              FROM goods g LEFT JOIN (
                SELECT sku, sum(quantity) moved FROM movements GROUP BY sku) m USING (sku)
              WHERE g.on_hand <> coalesce(m.moved, 0)",
    },
];
