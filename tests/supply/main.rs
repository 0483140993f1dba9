//! What is built and run comes from where it is said, and is what was meant. Needs no server.
#![expect(clippy::unwrap_used, reason = "a test ends with its first surprise")]

mod compose;
mod crates;
mod engine;
mod images;
mod python;

use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}
