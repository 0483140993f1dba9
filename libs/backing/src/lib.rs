//! Real PostgreSQL and real Kafka, for tests and for `cargo tovar up`: containers where a Docker
//! engine is reachable, local processes otherwise. Every server ends with the process that started
//! it, also if that process is killed.

mod cache;
mod cancel_at_await;
mod data_folder;
mod docker;
mod engine;
mod folder_lock;
mod kafka;
mod orphan_guard;
mod postgres;
pub mod private;
mod server;
mod server_kind;
mod shared;

pub use cache::jars;
pub use cancel_at_await::cancel_at_await;
pub use data_folder::{Unprivileged, forget_data};
pub use kafka::{Kafka, KafkaCluster, KafkaOptions};
pub use postgres::{PerRole, Postgres, PostgresOptions};
pub use server_kind::ServerKind;
pub use shared::{Servers, own_kafka, own_kafka_cluster, own_postgres, shared};

/// Takes messages about progress, a line at a time.
pub type Progress<'p> = &'p (dyn Fn(&str) + Sync);
