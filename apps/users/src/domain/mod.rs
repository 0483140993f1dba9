//! What a person's data must be like. Pure but for the hashing of passwords, which costs time and
//! memory.

pub mod common_passwords;
pub mod email;
pub mod key_ring;
pub mod password;
pub mod passwords;
pub mod person;
pub mod refresh_token;
pub mod seal;
pub mod session_life;
pub mod status;
pub mod turns;
