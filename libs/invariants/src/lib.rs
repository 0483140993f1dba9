//! Rules that always hold inside one database, as queries whose every row is a contradiction. One
//! snapshot of the database proves it. `cargo tovar verify` names the rows, and each service counts
//! its own for its metrics.

pub mod captures;
mod check;
pub mod ends;
pub mod events;
pub mod ledger;
pub mod slots;
pub mod stock;
pub mod told;

pub use check::Check;

/// The checks of a service's database, each with the name of its invariant.
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
