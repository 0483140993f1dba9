//! Idempotency keys on real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test ends with its first surprise")]

mod a_key_stands_for_one_request;
mod answers_are_forgotten_in_time;
mod fixture;
mod many_with_one_key_have_one_effect;
mod only_what_took_effect_is_kept;
