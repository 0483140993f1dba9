//! The crates of others.

use std::{collections::BTreeMap, process::Command};

use serde_json::Value;

use crate::{read, root};

/// Licenses whose terms the store's own fit, as its programs are given away with what they are made
/// of.
const LICENSES: [&str; 12] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// What decides about secrets or connections: of two versions one is out of sight.
const SINGLE: [&str; 9] = [
    "argon2",
    "jsonwebtoken",
    "openssl-src",
    "openssl-sys",
    "rdkafka-sys",
    "ring",
    "rustls",
    "rustls-webpki",
    "tokio-postgres",
];

/// These have no maintainer any more.
const GONE: [&str; 4] = ["rustls-pemfile", "serde_yaml", "backoff", "instant"];

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .filter(|package| !package["source"].is_null())
        .cloned()
        .collect()
}

#[test]
fn every_crate_is_of_the_one_registry_and_of_known_content() {
    for package in packages() {
        let source = package["source"].as_str();
        assert_eq!(
            source,
            Some("registry+https://github.com/rust-lang/crates.io-index"),
            "{}",
            package["id"]
        );
    }
    let lock = read("Cargo.lock");
    for package in lock.split("[[package]]").skip(1) {
        assert_eq!(
            package.contains("\nsource = "),
            package.contains("\nchecksum = "),
            "{package}"
        );
    }
}

#[test]
fn every_crate_has_a_license_that_ours_fits() {
    for package in packages() {
        let license = package["license"]
            .as_str()
            .unwrap_or_default()
            .replace('/', " OR ");
        assert!(is_allowed(&license), "{}: {license}", package["id"]);
    }
}

#[test]
fn what_guards_secrets_is_there_once_and_nothing_abandoned_is() {
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages() {
        let name = package["name"].as_str().unwrap().to_owned();
        versions
            .entry(name)
            .or_default()
            .push(package["version"].to_string());
    }
    for name in SINGLE {
        assert_eq!(
            versions.get(name).map(Vec::len),
            Some(1),
            "{name}: {:?}",
            versions.get(name)
        );
    }
    for name in GONE {
        assert_eq!(versions.get(name), None, "{name}");
    }
}

/// Whether an SPDX expression can be met by licenses of the list.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let (allowed, rest) = either(&words);
    rest.is_empty() && allowed
}

fn either<'w>(words: &'w [&'w str]) -> (bool, &'w [&'w str]) {
    let (mut allowed, mut rest) = both(words);
    while let ["OR", behind @ ..] = rest {
        let (next, behind) = both(behind);
        (allowed, rest) = (allowed || next, behind);
    }
    (allowed, rest)
}

fn both<'w>(words: &'w [&'w str]) -> (bool, &'w [&'w str]) {
    let (mut allowed, mut rest) = one(words);
    while let ["AND", behind @ ..] = rest {
        let (next, behind) = one(behind);
        (allowed, rest) = (allowed && next, behind);
    }
    (allowed, rest)
}

fn one<'w>(words: &'w [&'w str]) -> (bool, &'w [&'w str]) {
    match words {
        ["(", inside @ ..] => match either(inside) {
            (allowed, [")", behind @ ..]) => (allowed, behind),
            (_, behind) => (false, behind),
        },
        [license, "WITH", exception, behind @ ..] => (
            LICENSES.contains(&format!("{license} WITH {exception}").as_str()),
            behind,
        ),
        [license, behind @ ..] => (LICENSES.contains(license), behind),
        [] => (false, &[]),
    }
}

#[test]
fn a_license_is_read_as_spdx_says() {
    for allowed in [
        "MIT",
        "MIT OR GPL-3.0",
        "(MIT OR GPL-3.0) AND Zlib",
        "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
    ] {
        assert!(is_allowed(allowed), "{allowed}");
    }
    for refused in [
        "",
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(MIT OR Zlib",
        "MIT WITH no-exception",
    ] {
        assert!(!is_allowed(refused), "{refused}");
    }
}
