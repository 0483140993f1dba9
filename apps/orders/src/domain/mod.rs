//! All that orders decides. Pure: no I/O, no clock, no random.
//!
//! Topics are not ordered among each other, so an order is a set of facts: adding one is
//! commutative, and all else is derived from the set.

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
