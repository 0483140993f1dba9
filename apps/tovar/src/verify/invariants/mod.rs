//! The nine invariants as data: what must hold, and what contradicts it. An invariant with rules
//! over several databases has a file of its own.

mod ends;
mod rule;
mod shipping;
mod told;
mod undone;

pub use self::rule::{Invariant, Rule};

/// All of them, by number.
pub const INVARIANTS: [Invariant; 9] = [
    Invariant {
        number: 1,
        name: "ledger",
        statement: "every entry set sums to zero, the ledger sums to zero, balances are the sums \
                    of their entries",
        checks: ::invariants::ledger::CHECKS,
        rules: &[],
    },
    Invariant {
        number: 2,
        name: "stock",
        statement: "no negative balance or stock; reserved is the sum of active reservations, on \
                    hand that of movements",
        checks: ::invariants::stock::CHECKS,
        rules: &[],
    },
    ends::INVARIANT,
    shipping::INVARIANT,
    undone::INVARIANT,
    Invariant {
        number: 6,
        name: "captures",
        statement: "at most one capture per order; no refund beyond the capture",
        checks: ::invariants::captures::CHECKS,
        rules: &[],
    },
    Invariant {
        number: 7,
        name: "slots",
        statement: "no slot has more bookings than places",
        checks: ::invariants::slots::CHECKS,
        rules: &[],
    },
    // These checks read one database; `crate::verify::events` compares several.
    Invariant {
        number: 8,
        name: "events",
        statement: "outboxes are drained, nothing is parked, every event that the outboxes still \
                    retain was applied once by each \
                    consumer that subscribes to its type",
        checks: ::invariants::events::CHECKS,
        rules: &[],
    },
    told::INVARIANT,
];

#[cfg(test)]
mod tests {
    use super::INVARIANTS;
    use crate::services::SERVICES;

    #[test]
    fn they_stand_at_their_numbers_and_their_checks_name_services() {
        for (invariant, number) in INVARIANTS.iter().zip(1..) {
            assert_eq!(invariant.number, number);
            for check in invariant.checks {
                assert!(SERVICES.iter().any(|service| service.name == check.service));
            }
        }
    }
}
