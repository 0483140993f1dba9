use crate::check::Check;

pub const CHECKS: &[Check] = &[Check {
    service: "notifications",
    what: "an order whose end was told more than once",
    sql: "SELECT order_id::text, string_agg(kind, ', ' ORDER BY at)
          FROM notifications WHERE kind IN ('delivered', 'rejected', 'cancelled', 'refunded')
          GROUP BY order_id HAVING count(*) > 1",
}];
