//! `Idempotency-Key`: a request that changes something takes effect once, however often it is sent.
//!
//! It follows draft-ietf-httpapi-idempotency-key-header-07, and Stripe where the draft is silent.
//! The answer is stored in the transaction of the change itself, so the change never exists without
//! it. Only the answer of a request that took effect is stored: a refusal rolls everything back and
//! leaves the key free.

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

/// Only the service has rights: stored answers may have names and addresses in them.
const RIGHTS: [Rights; 4] = [
    Rights::of_table("idempotency_keys").service("SELECT, INSERT, UPDATE, DELETE"),
    Rights::of_function("idempotency_begin").service("EXECUTE"),
    Rights::of_function("idempotency_is_used").service("EXECUTE"),
    Rights::of_function("idempotency_forgotten_key").service("EXECUTE"),
];

/// How long answers are kept, and the secret of their fingerprints.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Idempotency")]
pub struct IdempotencySettings {
    /// Secret under which requests are fingerprinted, or file:/path; the same for all replicas and
    /// restarts
    #[arg(long, env = "IDEMPOTENCY_SECRET", hide_env_values = true)]
    pub idempotency_secret: connect::Secret,

    /// Hours for which a key's answer is kept
    #[arg(
        long,
        env = "IDEMPOTENCY_HOURS",
        default_value_t = 24,
        value_parser = clap::value_parser!(u32).range(1..=720)
    )]
    pub idempotency_hours: u32,
}
