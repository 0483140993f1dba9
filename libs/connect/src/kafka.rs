use std::path::PathBuf;

use rdkafka::ClientConfig;

use crate::Secret;

/// Where a process's Kafka is.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Kafka")]
pub struct KafkaSettings {
    /// Brokers to start from, as host:port,host:port
    #[arg(long, env = "KAFKA_BROKERS", default_value = "127.0.0.1:9092")]
    pub kafka_brokers: String,

    /// Put before every topic's and consumer group's name, so that several stores can share a cluster
    #[arg(long, env = "KAFKA_PREFIX", default_value = "")]
    pub kafka_prefix: String,

    /// How the brokers are spoken to
    #[arg(long, env = "KAFKA_SECURITY", value_enum, default_value_t = KafkaSecurity::Plaintext)]
    pub kafka_security: KafkaSecurity,

    /// PEM file of the authorities that may vouch for the brokers; without it the system's
    #[arg(long, env = "KAFKA_CA", value_name = "FILE")]
    pub kafka_ca: Option<PathBuf>,

    /// SASL mechanism, such as SCRAM-SHA-512 or PLAIN
    #[arg(long, env = "KAFKA_SASL_MECHANISM", default_value = "SCRAM-SHA-512")]
    pub kafka_sasl_mechanism: String,

    /// SASL user
    #[arg(long, env = "KAFKA_SASL_USERNAME")]
    pub kafka_sasl_username: Option<String>,

    /// SASL password, or file:/path of a file that holds it
    #[arg(long, env = "KAFKA_SASL_PASSWORD", hide_env_values = true)]
    pub kafka_sasl_password: Option<Secret>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum KafkaSecurity {
    /// No TLS, no log-in
    Plaintext,
    /// TLS
    Ssl,
    /// Log-in without TLS
    SaslPlaintext,
    /// Log-in over TLS
    SaslSsl,
}

impl KafkaSettings {
    pub fn new(brokers: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self {
            kafka_brokers: brokers.into(),
            kafka_prefix: prefix.into(),
            kafka_security: KafkaSecurity::Plaintext,
            kafka_ca: None,
            kafka_sasl_mechanism: String::new(),
            kafka_sasl_username: None,
            kafka_sasl_password: None,
        }
    }

    /// The name that `topic` has on these brokers.
    pub fn topic(&self, topic: &str) -> String {
        format!("{}{topic}", self.kafka_prefix)
    }

    /// What every client of these brokers has in common, to be completed by the caller.
    pub fn client_config(&self, client_id: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.kafka_brokers)
            .set("client.id", client_id)
            // For how long a broker may leave a request without an answer; longer if it is asked to wait. A line that a
            // router has forgotten is given up only by this.
            .set("socket.timeout.ms", "10000")
            // Nor is a connection waited for any longer that does not come about, TLS and log-in included: what is sent to the
            // address of a pod that has gone is not answered.
            .set("socket.connection.setup.timeout.ms", "5000")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("socket.keepalive.enable", "true")
            .set("log.connection.close", "false");
        let (protocol, tls, sasl) = match self.kafka_security {
            KafkaSecurity::Plaintext => ("plaintext", false, false),
            KafkaSecurity::Ssl => ("ssl", true, false),
            KafkaSecurity::SaslPlaintext => ("sasl_plaintext", false, true),
            KafkaSecurity::SaslSsl => ("sasl_ssl", true, true),
        };
        config.set("security.protocol", protocol);
        if let (true, Some(ca)) = (tls, &self.kafka_ca) {
            config.set("ssl.ca.location", ca.to_string_lossy());
        }
        if sasl {
            config.set("sasl.mechanism", &self.kafka_sasl_mechanism);
            if let Some(username) = &self.kafka_sasl_username {
                config.set("sasl.username", username);
            }
            if let Some(password) = &self.kafka_sasl_password {
                config.set("sasl.password", password.expose());
            }
        }
        config
    }
}
