//! All that billing decides. Pure: no I/O, no clock, no random.

pub mod closing;
pub mod hold;
pub mod ledger;
