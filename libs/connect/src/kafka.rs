use std::path::PathBuf;

use rdkafka::ClientConfig;

use crate::Secret;

/// How a process reaches Kafka.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Kafka")]
pub struct KafkaSettings {
    /// Brokers to start from, as host:port,host:port
    #[arg(long, env = "KAFKA_BROKERS", default_value = "127.0.0.1:9092")]
    pub kafka_brokers: String,

    /// Put before every topic's and consumer group's name, so that several stores can share a
    /// cluster
    #[arg(long, env = "KAFKA_PREFIX", default_value = "")]
    pub kafka_prefix: String,

    /// Protocol of the connections to the brokers
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

impl KafkaSecurity {
    /// The client's name for it, whether it has TLS, and whether it has a log-in.
    fn parts(self) -> (&'static str, bool, bool) {
        match self {
            Self::Plaintext => ("plaintext", false, false),
            Self::Ssl => ("ssl", true, false),
            Self::SaslPlaintext => ("sasl_plaintext", false, true),
            Self::SaslSsl => ("sasl_ssl", true, true),
        }
    }
}

/// Settings that contradict each other, or with which no broker can be reached.
#[derive(Debug, thiserror::Error)]
pub enum KafkaSettingsError {
    #[error(
        "{0:?} in KAFKA_BROKERS is not of the form host:port: how brokers are spoken to is \
         KAFKA_SECURITY"
    )]
    Broker(String),
    #[error(
        "KAFKA_PREFIX is {0:?}: a topic's name may have letters, digits, dots, underscores and \
         hyphens only"
    )]
    Prefix(String),
    #[error("KAFKA_CA is set, but KAFKA_SECURITY asks for no TLS: set it to ssl or sasl-ssl")]
    CaUnused,
    #[error(
        "KAFKA_SASL_USERNAME or KAFKA_SASL_PASSWORD is set, but KAFKA_SECURITY asks for no \
         log-in: set it to sasl-ssl"
    )]
    LogInUnused,
    #[error("KAFKA_SECURITY asks for a log-in: set KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD")]
    LogInMissing,
    #[error("KAFKA_SASL_MECHANISM is {0:?}: set it to SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN")]
    Mechanism(String),
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

    /// Refuses settings that cannot work, or that are weaker than one of them asks for.
    pub fn check(&self) -> Result<(), KafkaSettingsError> {
        use KafkaSettingsError::{Broker, CaUnused, LogInMissing, LogInUnused, Mechanism, Prefix};
        let is_address = |broker: &&str| {
            let parts = broker.trim().rsplit_once(':');
            parts.is_some_and(|(host, port)| {
                !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok()
            })
        };
        if let Some(wrong) = self
            .kafka_brokers
            .split(',')
            .find(|broker| !is_address(broker))
        {
            return Err(Broker(wrong.to_owned()));
        }
        let may_stand_in_a_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if !self.kafka_prefix.chars().all(may_stand_in_a_name) {
            return Err(Prefix(self.kafka_prefix.clone()));
        }
        let (_, tls, sasl) = self.kafka_security.parts();
        if self.kafka_ca.is_some() && !tls {
            return Err(CaUnused);
        }
        let (user, password) = (&self.kafka_sasl_username, &self.kafka_sasl_password);
        if !sasl {
            let is_unset = user.is_none() && password.is_none();
            return if is_unset { Ok(()) } else { Err(LogInUnused) };
        }
        if user.is_none() || password.is_none() {
            return Err(LogInMissing);
        }
        match self.kafka_sasl_mechanism.as_str() {
            "SCRAM-SHA-512" | "SCRAM-SHA-256" | "PLAIN" => Ok(()),
            other => Err(Mechanism(other.to_owned())),
        }
    }

    /// The configuration that all clients of these brokers share. The caller adds its own settings.
    pub fn client_config(&self, client_id: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.kafka_brokers)
            .set("client.id", client_id)
            // How long a broker may take to answer a request, beside the time for which the request
            // asks it to wait. Only this closes a connection that a router has forgotten.
            .set("socket.timeout.ms", "10000")
            // How long a new connection may take, TLS and log-in included: the address of a pod
            // that has gone does not answer.
            .set("socket.connection.setup.timeout.ms", "5000")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("socket.keepalive.enable", "true")
            .set("log.connection.close", "false");
        let (protocol, tls, sasl) = self.kafka_security.parts();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_asks_for_more_than_it_gets_is_refused_by_its_name() {
        use KafkaSecurity::{Plaintext, SaslPlaintext, SaslSsl, Ssl};
        let of = |security| KafkaSettings {
            kafka_security: security,
            kafka_sasl_mechanism: "SCRAM-SHA-512".to_owned(),
            ..KafkaSettings::new("b1:9092, b2:9092", "shop.")
        };
        let with_ca = |security| KafkaSettings {
            kafka_ca: Some("/ca".into()),
            ..of(security)
        };
        let logged_in = |security| KafkaSettings {
            kafka_sasl_username: Some("shop".to_owned()),
            kafka_sasl_password: Some(Secret::new("hunter2")),
            ..of(security)
        };
        let by = |mechanism: &str| KafkaSettings {
            kafka_sasl_mechanism: mechanism.to_owned(),
            ..logged_in(SaslSsl)
        };
        let at = |brokers, prefix| KafkaSettings::new(brokers, prefix);
        for good in [
            of(Plaintext),
            of(Ssl),
            with_ca(Ssl),
            logged_in(SaslSsl),
            logged_in(SaslPlaintext),
            by("PLAIN"),
        ] {
            good.check().unwrap();
        }
        let half = KafkaSettings {
            kafka_sasl_password: None,
            ..logged_in(SaslSsl)
        };
        for (bad, named) in [
            (with_ca(Plaintext), "KAFKA_CA"),
            (with_ca(SaslPlaintext), "KAFKA_CA"),
            (logged_in(Plaintext), "KAFKA_SASL_USERNAME"),
            (logged_in(Ssl), "KAFKA_SASL_USERNAME"),
            (of(SaslSsl), "KAFKA_SASL_USERNAME"),
            (half, "KAFKA_SASL_PASSWORD"),
            (by("GSSAPI"), "KAFKA_SASL_MECHANISM"),
            (at("SSL://b:9093", ""), "KAFKA_SECURITY"),
            (at("b", ""), "KAFKA_BROKERS"),
            (at("b:9092,", ""), "KAFKA_BROKERS"),
            (at("b:9092", "a b"), "KAFKA_PREFIX"),
        ] {
            let said = bad.check().unwrap_err().to_string();
            assert!(said.contains(named), "{said}");
            assert!(!said.contains("hunter2"));
        }
    }
}
