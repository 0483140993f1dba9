//! The nine invariants, a file each, as data: what must hold, and what would contradict it.

mod captures;
mod ends;
mod events;
mod ledger;
mod shipping;
mod slots;
mod stock;
mod told;
mod undone;

use ::invariants::Check;

use super::order::Order;

/// Something that must always hold of a store.
pub struct Invariant {
    pub number: u8,
    pub name: &'static str,
    pub statement: &'static str,
    /// What contradicts it inside one database. One snapshot of it is proof.
    pub checks: &'static [Check],
    /// What contradicts it in an order as all databases have it. That is proof where nothing of the
    /// order is under way.
    pub rules: &'static [Rule],
}

/// A contradiction in an order.
pub struct Rule {
    pub what: &'static str,
    pub broken: fn(&Order) -> bool,
    /// Whether the order's next deadline may still mend it.
    pub until_deadline: bool,
}

/// All of them, by number.
pub const INVARIANTS: [Invariant; 9] = [
    ledger::INVARIANT,
    stock::INVARIANT,
    ends::INVARIANT,
    shipping::INVARIANT,
    undone::INVARIANT,
    captures::INVARIANT,
    slots::INVARIANT,
    events::INVARIANT,
    told::INVARIANT,
];

/// A rule that nothing but its event can mend.
const fn rule(what: &'static str, broken: fn(&Order) -> bool) -> Rule {
    Rule {
        what,
        broken,
        until_deadline: false,
    }
}

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
