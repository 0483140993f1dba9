use crate::check::Check;

pub const CHECKS: &[Check] = &[
    Check {
        service: "delivery",
        what: "a slot with more bookings than places",
        sql: "SELECT s.id::text, format('places %s, bookings %s', capacity, count(*))
              FROM slots s JOIN bookings b ON b.slot_id = s.id
              WHERE b.state IN ('booked', 'out_for_delivery', 'delivered', 'failed')
              GROUP BY s.id HAVING count(*) > capacity",
    },
    Check {
        service: "delivery",
        what: "a slot whose count is not that of its bookings",
        sql: "SELECT s.id::text, format('booked %s, bookings %s', s.booked, coalesce(b.places, 0))
              FROM slots s LEFT JOIN (
                SELECT slot_id, count(*) places FROM bookings
                WHERE state IN ('booked', 'out_for_delivery', 'delivered', 'failed')
                GROUP BY slot_id) b
              ON b.slot_id = s.id WHERE s.booked <> coalesce(b.places, 0)",
    },
];
