use super::Invariant;

pub const INVARIANT: Invariant = Invariant {
    number: 2,
    name: "stock",
    statement: "no negative balance or stock; reserved is the sum of active reservations, on hand that of movements",
    checks: ::invariants::stock::CHECKS,
    rules: &[],
};
