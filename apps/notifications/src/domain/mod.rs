//! What a user is told, and in which words. Pure.

pub mod amount;
pub mod news;
pub mod reason;
