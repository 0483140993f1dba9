//! users alone, on real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test ends with its first surprise")]

mod a_first_password_makes_one_manager;
mod a_token_key_is_encrypted;
mod an_address_is_one_account_however_it_is_spelt;
mod fixture;
mod log_ins_are_limited;
mod log_ins_leave_a_trace;
mod sessions_end;
mod sessions_go_on;
mod the_key_of_one_who_left_stays_used_up;
mod there_is_always_a_manager;
mod who_lost_their_rights_has_none;
