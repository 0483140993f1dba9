//! The command line of the store, a file per command.

pub mod audit;
pub mod bench;
pub mod cargo;
pub mod client;
pub mod connect;
pub mod database;
pub mod demo;
pub mod images;
pub mod load;
pub mod operations;
pub mod order;
pub mod prometheus;
pub mod prove;
mod retained;
pub mod services;
pub mod store_file;
pub mod topics;
pub mod up;
pub mod verify;
