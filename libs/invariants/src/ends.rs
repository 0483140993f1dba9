use crate::check::Check;

pub const CHECKS: &[Check] = &[
    Check {
        service: "orders",
        what: "an order whose status is not the end that was told",
        sql: "SELECT o.id::text,
                format('status %s, told %s', status, coalesce(fact ->> 'outcome', 'nothing'))
              FROM orders o LEFT JOIN order_facts f ON f.order_id = o.id AND f.kind = 'finished'
              WHERE coalesce(fact ->> 'outcome', '-')
                <> CASE WHEN status IN ('delivered', 'rejected', 'cancelled', 'refunded')
                  THEN status ELSE '-' END",
    },
    Check {
        service: "orders",
        what: "an order with two ends: delivered, and closed by a verdict",
        sql: "SELECT order_id::text, 'both facts are there'
              FROM order_facts WHERE kind IN ('delivered', 'closed')
              GROUP BY order_id HAVING count(*) > 1",
    },
    Check {
        service: "orders",
        what: "an order under a key that an earlier order of its caller has",
        // A minute less, as an order is placed a moment before the hours of its key begin.
        sql: "SELECT id::text,
                format('caller %s, key %s, after order %s', user_id, idempotency_key, earlier)
              FROM (
                SELECT id, user_id, idempotency_key, placed_at, lag(id) OVER same AS earlier,
                  lag(placed_at) OVER same AS earlier_at
                FROM orders
                WINDOW same AS (PARTITION BY user_id, idempotency_key ORDER BY placed_at, id)) o
              WHERE placed_at
                < earlier_at + make_interval(hours => current_setting('tovar.key_hours')::int)
                  - interval '1 minute'",
    },
];
