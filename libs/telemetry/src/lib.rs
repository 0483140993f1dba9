//! What a process shows of itself: its log, its trace spans, and health and metrics on a second
//! port that no gateway exposes; and how it hears that it should end. The same for services, relays
//! and the gateway.

mod json;
mod listen;
mod log;
mod metrics;
mod ops;
mod shutdown;
pub mod traces;

#[doc(hidden)]
pub use prometheus_client;

pub use listen::{Listen, Reservation};
pub use log::{LogFormat, LogSettings, init, writing_to};
pub use metrics::{ReadingAge, registry, show};
pub use ops::{Ops, OpsSettings, Readiness};
pub use shutdown::{Shutdown, ShutdownSettings};
