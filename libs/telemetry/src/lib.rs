//! What a process shows of itself: its log, and health and metrics on a second port that no gateway exposes;
//! and how it hears that it should end.
//! The same for services, relays and the gateway.

mod log;
mod ops;
mod shutdown;

pub use log::{LogFormat, LogSettings, init};
pub use ops::{Ops, OpsSettings, Readiness};
pub use shutdown::{Shutdown, ShutdownSettings};
