//! All that orders decides. Pure: no I/O, no clock, no random.
//!
//! Events of different topics arrive in any order. So an order is a set of facts: they may be added
//! in any order, and everything else is derived from the set.

pub mod attention;
pub mod deadline;
pub mod decide;
pub mod facts;
pub mod lines;
pub mod status;
pub mod stop;
pub mod timeline;

#[cfg(test)]
mod permutations;
