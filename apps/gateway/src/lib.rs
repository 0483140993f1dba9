//! The gateway: one base address for the six services. It knows which path belongs to which
//! service, and nothing else about them.

mod admission;
mod connections;
mod connector;
mod docs;
mod headers;
mod journal;
mod metrics;
mod problem;
mod proxy;
pub mod routes;
mod server;
mod settings;
pub mod templates;

pub use crate::{
    admission::{HostName, InvalidHostName},
    server::{Running, start},
    settings::GatewaySettings,
};
