//! The log, the trace spans, the metrics and the health of a process, and how it learns that it
//! should end. Health and metrics are on a second port that no gateway exposes. Services, relays
//! and the gateway all use it.

mod json;
mod listen;
mod log;
mod metrics;
mod ops;
mod process;
mod shown;
mod shutdown;
pub mod traces;

#[doc(hidden)]
pub use prometheus_client;

pub use listen::{Listen, Reservation};
pub use log::{LogFormat, LogSettings, init, writing_to};
pub use metrics::{ReadingAge, registry};
pub use ops::{Ops, OpsSettings, Readiness};
pub use shown::show;
pub use shutdown::{Shutdown, ShutdownSettings};
