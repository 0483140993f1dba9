use crate::check::Check;

pub const CHECKS: &[Check] = &[
    Check {
        service: "billing",
        what: "an order that was paid more than once",
        sql: "SELECT order_id::text, count(*) || ' captures'
              FROM entry_sets WHERE kind = 'capture' GROUP BY order_id HAVING count(*) > 1",
    },
    Check {
        service: "billing",
        what: "an order with a refund beyond its capture",
        sql: "SELECT order_id::text, format('captured %s, refunded %s', captured, refunded) FROM (
                SELECT order_id,
                  coalesce(sum(p.amount) FILTER (WHERE kind = 'capture'), 0) captured,
                  coalesce(-sum(p.amount) FILTER (WHERE kind = 'refund'), 0) refunded
                FROM entry_sets s
                JOIN postings p ON p.entry_set_id = s.id AND account = 'shop_revenue'
                GROUP BY order_id) o
              WHERE refunded > captured",
    },
];
