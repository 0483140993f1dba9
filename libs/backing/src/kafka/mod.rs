mod broker;
mod cluster;
mod local;
mod options;
mod topics;

pub use broker::Kafka;
pub use cluster::KafkaCluster;
pub use options::KafkaOptions;
