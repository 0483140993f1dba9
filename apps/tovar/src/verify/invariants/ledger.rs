use super::Invariant;

pub const INVARIANT: Invariant = Invariant {
    number: 1,
    name: "ledger",
    statement: "every entry set sums to zero, the ledger sums to zero, balances are the sums of their entries",
    checks: ::invariants::ledger::CHECKS,
    rules: &[],
};
