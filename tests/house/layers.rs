use crate::{files, imports::imports_of, none, read};

/// The layers of a service, the lowest first; each may import those below it.
const LAYERS: [&str; 4] = ["domain", "store", "usecases", "http"];

fn layer(file: &str) -> Option<usize> {
    let below = file.split_once("/src/")?.1;
    LAYERS
        .iter()
        .position(|layer| below.starts_with(&format!("{layer}/")))
}

fn services() -> Vec<String> {
    let roots = files("apps", &["lib.rs"]).into_iter();
    roots
        .filter(|root| read(root).contains("impl Service for"))
        .collect()
}

#[test]
fn a_lower_layer_imports_no_higher_one() {
    let services = services();
    assert_eq!(services.len(), 6, "{services:?}");
    let mut faults = Vec::new();
    for service in services {
        for (file, targets) in imports_of(&service) {
            for target in targets {
                if let (Some(from), Some(to)) = (layer(&file), layer(&target))
                    && from < to
                {
                    faults.push(format!("{file} imports {target}"));
                }
            }
        }
    }
    none("imports upwards", &faults);
}

/// What a domain is made of decides, and waits for nothing.
#[test]
fn a_domain_knows_no_framework() {
    const FRAMEWORKS: [&str; 7] = [
        "actix_web",
        "diesel",
        "diesel_async",
        "rdkafka",
        "reqwest",
        "tokio",
        "utoipa",
    ];
    let mut faults = Vec::new();
    for file in files("apps", &[".rs"]) {
        if layer(&file) != Some(0) {
            continue;
        }
        for (number, line) in read(&file).lines().enumerate() {
            let line = line.trim();
            if FRAMEWORKS
                .iter()
                .any(|framework| line.contains(&format!("{framework}::")))
            {
                faults.push(format!("{file}:{}: {line}", number + 1));
            }
        }
    }
    none("frameworks in a domain", &faults);
}

#[test]
fn no_library_imports_a_program() {
    let programs: Vec<String> = files("apps", &["Cargo.toml"])
        .iter()
        .map(|file| file.split('/').nth(1).unwrap().to_owned())
        .chain(["outbox-relay".to_owned()])
        .collect();
    let mut faults = Vec::new();
    for manifest in files("libs", &["Cargo.toml"]) {
        for line in read(&manifest).lines() {
            let name = line.split(['.', ' ', '=']).next().unwrap();
            if programs.iter().any(|program| program == name) {
                faults.push(format!("{manifest}: {line}"));
            }
        }
    }
    none("libraries that import a program", &faults);
}
