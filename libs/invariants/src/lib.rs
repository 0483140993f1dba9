//! What must always hold inside one database, as queries whose every row is a contradiction. One
//! snapshot of the database is proof. `cargo tovar verify` names the rows, and each service counts
//! its own for its metrics.

pub mod captures;
pub mod ends;
pub mod events;
pub mod ledger;
pub mod slots;
pub mod stock;
pub mod told;

/// A query whose every row is a contradiction.
pub struct Check {
    /// In whose database.
    pub service: &'static str,
    /// What a row is, in words.
    pub what: &'static str,
    /// Two texts a row: the id of what contradicts, and how. The setting `tovar.key_hours` must say
    /// for how long idempotency keys are kept.
    pub sql: &'static str,
}

/// The checks of a service's database, each with the name of the invariant that it belongs to.
pub fn of(service: &str) -> impl Iterator<Item = (&'static str, &'static Check)> {
    const ALL: [(&str, &[Check]); 7] = [
        ("ledger", ledger::CHECKS),
        ("stock", stock::CHECKS),
        ("ends", ends::CHECKS),
        ("captures", captures::CHECKS),
        ("slots", slots::CHECKS),
        ("events", events::CHECKS),
        ("told", told::CHECKS),
    ];
    ALL.into_iter()
        .flat_map(|(invariant, checks)| checks.iter().map(move |check| (invariant, check)))
        .filter(move |(_, check)| check.service == service)
}
