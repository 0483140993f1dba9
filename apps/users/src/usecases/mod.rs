//! What people and managers can do, one operation per file.

pub mod change_person;
pub mod change_role;
pub mod delete_person;
pub mod issue_token;
pub mod keep_tidy;
pub mod log_in;
pub mod make_first_manager;
pub mod prepare_emails;
pub mod register;
pub mod view_person;
