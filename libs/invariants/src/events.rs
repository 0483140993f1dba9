use crate::check::Check;

pub const CHECKS: &[Check] = &[
    applied_and_parked("users"),
    applied_and_parked("billing"),
    applied_and_parked("orders"),
    applied_and_parked("warehouse"),
    applied_and_parked("delivery"),
    applied_and_parked("notifications"),
];

const fn applied_and_parked(service: &'static str) -> Check {
    Check {
        service,
        what: "an event that was applied and is also parked",
        sql: "SELECT event_id::text, format('%s of key %s, %s', p.type, key, state)
              FROM inbox_parked p JOIN inbox i USING (consumer, event_id) WHERE state <> 'applied'",
    }
}
