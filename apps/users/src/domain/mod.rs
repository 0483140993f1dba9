//! The rules for people's data, passwords, tokens and sessions. Pure: no I/O, and no framework.

pub mod attempts;
pub mod common_passwords;
pub mod email;
pub mod key_ring;
pub mod password;
pub mod person;
pub mod refresh_token;
pub mod seal;
pub mod session_life;
pub mod status;
