//! The tests hold for containers and for local processes: `TOVAR_BACKING=docker` or `local`
//! chooses.
#![expect(clippy::unwrap_used, reason = "a test ends with its first surprise")]

mod a_server_s_password_is_its_own;
mod frozen_servers_hang_until_they_are_thawed;
mod kept_data_have_one_user_at_a_time;
mod mavens_postgresql_works;
mod records;
mod roles_reach_only_their_own_database;
mod servers_come_back_after_a_crash;
mod servers_end_with_their_owner;
mod servers_say_why_they_did_not_start;
mod wait;
