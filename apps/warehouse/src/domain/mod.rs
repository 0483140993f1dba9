//! All that the warehouse decides. Pure: no I/O, no clock, no random.

pub mod goods;
pub mod parcel;
pub mod shelf;
