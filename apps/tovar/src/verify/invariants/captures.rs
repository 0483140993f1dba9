use super::Invariant;

pub const INVARIANT: Invariant = Invariant {
    number: 6,
    name: "captures",
    statement: "at most one capture per order; no refund beyond the capture",
    checks: ::invariants::captures::CHECKS,
    rules: &[],
};
