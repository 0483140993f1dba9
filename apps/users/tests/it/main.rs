//! users alone, on real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test ends with its first surprise")]

mod an_address_is_one_account_however_it_is_spelt;
mod fixture;
mod log_ins_are_limited;
mod sessions_end;
mod sessions_go_on;
mod the_key_of_one_who_left_stays_used_up;
mod there_is_always_a_manager;
mod who_lost_their_rights_has_none;
