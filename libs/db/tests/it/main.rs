//! Transactions on real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test ends with its first surprise")]

mod a_transaction_is_all_or_nothing;
mod an_address_is_honoured;
mod fixture;
mod migrations_give_way;
mod migrations_run_once;
mod roles_have_their_rights;
mod rows_are_read_and_written_once;
mod what_may_work_later_is_unavailable;
