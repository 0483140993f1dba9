//! The images that are pulled and those that are made.

use std::{collections::BTreeMap, process::Command};

use crate::{read, root};

/// Every file of the repository but what explains, and their text.
fn sources() -> Vec<(String, String)> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .unwrap();
    let files = String::from_utf8(listed.stdout).unwrap();
    files
        .lines()
        .filter(|file| !file.starts_with("docs/") && !file.starts_with("tests/supply/"))
        .filter_map(|file| {
            Some((
                file.to_owned(),
                std::fs::read_to_string(root().join(file)).ok()?,
            ))
        })
        .collect()
}

/// Words that may be an image's name.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || "\"'`{}()=,|".contains(c))
        .map(|word| word.rsplit_once(":-").map_or(word, |(_, default)| default))
}

const PULLED: [&str; 7] = [
    "postgres:",
    "apache/kafka:",
    "prom/prometheus:",
    "prom/alertmanager:",
    "grafana/grafana:",
    "rust:",
    "gcr.io/distroless/cc-debian12:",
];

/// The owner of a registry's account may move a tag to anything, and a digest to nothing.
#[test]
fn each_image_that_is_pulled_is_pinned_to_one_digest() {
    let mut pins: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (file, text) in sources() {
        for word in words(&text) {
            let Some(name) = PULLED.iter().find(|name| word.starts_with(**name)) else {
                continue;
            };
            let tag = &word[name.len()..];
            if !tag.starts_with(|c: char| c.is_ascii_alphanumeric()) {
                continue;
            }
            let (_, digest) = tag
                .split_once("@sha256:")
                .unwrap_or_else(|| panic!("{file} pulls {word} by a tag alone"));
            assert!(
                digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{file}: {word}"
            );
            let known = pins.entry((*name).to_owned()).or_default();
            if !known.contains(&word.to_owned()) {
                known.push(word.to_owned());
            }
        }
    }
    for name in PULLED {
        assert_eq!(pins.get(name).map(Vec::len), Some(1), "{name} {pins:?}");
    }
}

/// `tovar/users` is what a stranger may have at Docker Hub.
#[test]
fn what_is_built_here_has_a_name_that_no_registry_answers_to() {
    let programs = [
        "users",
        "billing",
        "orders",
        "warehouse",
        "delivery",
        "notifications",
        "gateway",
        "topics",
        "postgres",
        "kafka",
        "base",
        "runtime",
        "builder",
    ];
    let mut found = 0;
    for (file, text) in sources() {
        for word in words(&text) {
            for program in programs {
                let (name, is_ours) = match word.find(&format!("tovar/{program}:")) {
                    Some(at) => (&word[..at], true),
                    None => (word, false),
                };
                assert!(!is_ours || name == "localhost/", "{file}: {word}");
                found += usize::from(is_ours);
            }
        }
    }
    assert!(found > 20, "{found}");
    let names = read("helm/tovar-lib/templates/_names.tpl");
    assert!(names.contains(r#""prefix" "localhost/tovar""#));
}

#[test]
fn each_program_s_image_says_what_it_is_made_of() {
    let dockerfile = read("Dockerfile");
    let mut programs = 0;
    for line in dockerfile.lines() {
        let Some(program) = line
            .strip_prefix("COPY --from=binaries /bins/")
            .and_then(|rest| rest.strip_suffix(" /usr/local/bin/"))
        else {
            continue;
        };
        let bill = format!("COPY --from=binaries /bins/{program}.cdx.json /usr/local/share/sbom/");
        assert!(dockerfile.lines().any(|line| line == bill), "{program}");
        programs += 1;
    }
    assert_eq!(programs, 9);
}
