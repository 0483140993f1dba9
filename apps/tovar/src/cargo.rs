//! The cargo that started this program.

use std::{ffi::OsStr, process::Command};

/// A command that runs it, without the variables about this package. Build scripts such as ring's
/// read variables of these names: they would find them changed, and cargo would build ring and all
/// that depends on it again.
pub fn command() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_about_a_package(name)) {
        cargo.env_remove(name);
    }
    cargo
}

fn is_about_a_package(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
}
