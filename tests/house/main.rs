//! The rules of style that a program can check: widths, words, circles and layers. It needs no
//! server.
#![expect(clippy::unwrap_used, reason = "a test ends with its first surprise")]

mod imports;
mod layers;
mod links;
mod widths;
mod words;

use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// Every file of ours below `folder` that ends in one of `endings`, as its path from the root.
fn files(folder: &str, endings: &[&str]) -> Vec<String> {
    const NOT_OURS: [&str; 4] = ["target", "node_modules", ".git", ".tovar"];
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() && !NOT_OURS.contains(&name.as_str()) {
                folders.push(entry.path());
            } else if kind.is_file() && endings.iter().any(|ending| name.ends_with(ending)) {
                let path = entry.path();
                let path = path.strip_prefix(root()).unwrap();
                found.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Whether a file is of this kind, such as `md`.
fn is_of(file: &str, extension: &str) -> bool {
    Path::new(file)
        .extension()
        .is_some_and(|found| found == extension)
}

/// Fails with every fault, a line each.
fn none(what: &str, faults: &[String]) {
    assert!(
        faults.is_empty(),
        "{what} ({}):\n{}",
        faults.len(),
        faults.join("\n")
    );
}
