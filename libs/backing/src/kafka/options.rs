use std::path::PathBuf;

#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// Folder that keeps the data between runs; `None`: they end with the broker.
    pub data: Option<PathBuf>,
    /// Image for containers; the default is `TOVAR_KAFKA_IMAGE` or a fixed version.
    pub image: String,
    /// Size of the Java heap, in MiB.
    pub heap: u32,
    /// Port of 127.0.0.1 of a proxy: clients that connect through it are told to find the broker
    /// there. For local processes only.
    pub proxy: Option<u16>,
}

/// The image unless the environment names another one.
const IMAGE: &str =
    "apache/kafka:4.1.0@sha256:bff074a5d0051dbc0bbbcd25b045bb1fe84833ec0d3c7c965d1797dd289ec88f";

impl Default for KafkaOptions {
    fn default() -> Self {
        let image = std::env::var("TOVAR_KAFKA_IMAGE").unwrap_or_else(|_| IMAGE.to_owned());
        Self {
            data: None,
            image,
            heap: 512,
            proxy: None,
        }
    }
}

/// The id that every cluster gets when its storage is formatted.
pub const CLUSTER_ID: &str = "TovarTovarTovarTovarTw";
