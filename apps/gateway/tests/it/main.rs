//! The gateway before a service that answers every request and remembers it.
#![expect(clippy::unwrap_used, reason = "a test ends with its first surprise")]

mod bounds;
mod door;
mod fixture;
mod headers;
mod limits;
