//! The events of the store, one file per producer. The JSON schema of each event is checked in
//! under `schemas/`. A test fails when a type and its schema differ, so that each change of a
//! contract is visible.

mod about;
pub mod billing;
pub mod catalogue;
pub mod delivery;
mod entry;
pub mod orders;
#[cfg(test)]
mod released;
mod sheet;
pub mod users;
pub mod warehouse;

pub use about::About;
pub use sheet::{Line, OrderSheet};
