//! All that delivery decides. Pure: no I/O, no clock, no random.

pub mod booking;
pub mod slot;
pub mod staff;
