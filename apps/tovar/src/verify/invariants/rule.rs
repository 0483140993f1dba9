use ::invariants::Check;

use crate::verify::order::Order;

/// Something that must always hold of a store.
pub struct Invariant {
    pub number: u8,
    pub name: &'static str,
    pub statement: &'static str,
    /// Contradictions inside one database. One snapshot of it is proof.
    pub checks: &'static [Check],
    /// Contradictions in an order as all databases have it. They are proof where nothing of the
    /// order is under way.
    pub rules: &'static [Rule],
}

/// A contradiction in an order.
pub struct Rule {
    pub what: &'static str,
    pub broken: fn(&Order) -> bool,
    /// Whether the order's next deadline may still put it right.
    pub until_deadline: bool,
}

/// A rule whose contradiction only an event can put right, and no deadline.
pub const fn rule(what: &'static str, broken: fn(&Order) -> bool) -> Rule {
    Rule {
        what,
        broken,
        until_deadline: false,
    }
}
