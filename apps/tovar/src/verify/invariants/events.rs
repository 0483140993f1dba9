use super::Invariant;

/// What of it shows inside one database; the rest is in [`crate::verify::events`].
pub const INVARIANT: Invariant = Invariant {
    number: 8,
    name: "events",
    statement: "outboxes are drained, nothing is parked, every event that the outboxes still retain was applied once by each \
                consumer that subscribes to its type",
    checks: ::invariants::events::CHECKS,
    rules: &[],
};
