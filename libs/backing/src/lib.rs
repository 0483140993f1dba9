//! Real PostgreSQL and real Kafka, for tests and for `cargo tovar up`: containers where a Docker
//! engine is reachable, local processes otherwise. Whatever is started here ends with the process
//! that started it, also if that is killed.

mod cache;
mod cut;
mod docker;
mod engine;
mod hold;
mod kafka;
mod means;
mod place;
mod postgres;
pub mod private;
mod server;
mod shared;
mod tether;

pub use cache::jars;
pub use cut::cut;
pub use kafka::{Kafka, KafkaCluster, KafkaOptions};
pub use means::Means;
pub use place::{Unprivileged, forget_data};
pub use postgres::{OfRoles, Postgres, PostgresOptions};
pub use shared::{Servers, own_kafka, own_kafka_cluster, own_postgres, shared};

/// Where progress goes, a line at a time.
pub type Progress<'p> = &'p (dyn Fn(&str) + Sync);
