use super::Invariant;

pub const INVARIANT: Invariant = Invariant {
    number: 7,
    name: "slots",
    statement: "no slot has more bookings than places",
    checks: ::invariants::slots::CHECKS,
    rules: &[],
};
