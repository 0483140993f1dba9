//! The words of notifications. Pure: no I/O, no clock, no random.

pub mod amount;
pub mod news;
pub mod reason;
