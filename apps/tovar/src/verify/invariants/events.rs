use super::{Check, Invariant};

/// What of it shows inside one database; the rest is in [`crate::verify::events`].
pub const INVARIANT: Invariant = Invariant {
    number: 8,
    name: "events",
    statement: "outboxes are drained, nothing is parked, every event that the outboxes still retain was applied once by each \
                consumer that subscribes to its type",
    checks: &[
        applied_and_parked("users"),
        applied_and_parked("billing"),
        applied_and_parked("orders"),
        applied_and_parked("warehouse"),
        applied_and_parked("delivery"),
        applied_and_parked("notifications"),
    ],
    rules: &[],
};

const fn applied_and_parked(service: &'static str) -> Check {
    Check {
        service,
        what: "an event that was applied and is also parked",
        sql: "SELECT event_id::text, format('%s of key %s, %s', p.type, key, state)
              FROM inbox_parked p JOIN inbox i USING (consumer, event_id) WHERE state <> 'applied'",
    }
}
