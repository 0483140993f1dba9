//! `Idempotency-Key`: a request that changes something takes effect once, however often it is sent.
//!
//! Follows draft-ietf-httpapi-idempotency-key-header-07, and Stripe where the draft is silent. All
//! of it happens in the transaction of the change itself, so there is no moment at which the change
//! is there and the answer is not. Only what took effect is stored: a refusal rolls everything back
//! and leaves the key free.

mod claims;
mod fingerprint;
mod key;
mod once;

pub use claims::{Claim, Claims};
pub use fingerprint::{Fingerprint, FingerprintKey};
pub use key::{IdempotencyKey, InvalidKey};
pub use once::{
    Begun, IdempotencyError, KeyedRequest, Reservation, StoredAnswer, begin, forget, is_used, purge,
};

use db::Rights;
use diesel_migrations::embed_migrations;

/// The table of keys; part of each service's database.
pub const MIGRATIONS: db::Migrations = db::Migrations::new(embed_migrations!(), &RIGHTS);

/// Kept answers may show names and addresses: only the service sees them.
const RIGHTS: [Rights; 4] = [
    Rights::of_table("idempotency_keys").service("SELECT, INSERT, UPDATE, DELETE"),
    Rights::of_function("idempotency_begin").service("EXECUTE"),
    Rights::of_function("idempotency_is_used").service("EXECUTE"),
    Rights::of_function("idempotency_forgotten_key").service("EXECUTE"),
];

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Idempotency")]
pub struct IdempotencySettings {
    /// Secret under which requests are fingerprinted, or file:/path; the same for all replicas and
    /// restarts
    #[arg(long, env = "IDEMPOTENCY_SECRET", hide_env_values = true)]
    pub idempotency_secret: connect::Secret,

    /// Hours for which a key's answer is kept
    #[arg(long, env = "IDEMPOTENCY_HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=720))]
    pub idempotency_hours: u32,
}
