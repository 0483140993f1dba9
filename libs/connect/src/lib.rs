//! How a process reaches its database and its broker: the settings, the secrets and TLS, one way
//! for services, relays and the command line.

mod address;
mod kafka;
mod postgres;
mod roles;
mod secret;
mod tls;

pub use address::AddressError;
pub use kafka::{KafkaSecurity, KafkaSettings, KafkaSettingsError};
pub use postgres::{ConnectError, Line, PostgresSettings, SslMode};
pub use roles::{DatabaseRole, ROLES_SQL};
pub use secret::{Secret, SecretError};
