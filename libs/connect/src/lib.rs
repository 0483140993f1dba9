//! How a process reaches its database and its broker: settings, secrets and TLS, the same for
//! services, relays and the command line.

mod address;
mod error;
mod kafka;
mod postgres;
mod roles;
mod secret;
mod ssl_mode;
mod tls;

pub use address::AddressError;
pub use error::ConnectError;
pub use kafka::{KafkaSecurity, KafkaSettings, KafkaSettingsError};
pub use postgres::{PgConnection, PostgresSettings};
pub use roles::{DatabaseRole, ROLES_SQL};
pub use secret::{Secret, SecretError};
pub use ssl_mode::SslMode;
