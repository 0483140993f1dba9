//! The command line of the store, a file per command.

pub mod bench;
pub mod client;
pub mod demo;
pub mod services;
pub mod store_file;
pub mod up;
