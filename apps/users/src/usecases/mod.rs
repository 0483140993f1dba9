//! The use cases of people and managers, one per file.

pub mod begin_session;
pub mod change_person;
pub mod change_role;
pub mod change_status;
pub mod delete_person;
pub mod issue_token;
pub mod keep_tidy;
pub mod list_sessions;
pub mod log_in;
pub mod log_out;
pub mod make_first_manager;
pub mod prepare_emails;
pub mod refresh_session;
pub mod register;
pub mod view_person;
pub mod void_tokens;
