//! The compose file and the secrets that it makes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
};

use serde_yaml_ng::Value;

use crate::{read, root};

fn compose() -> Value {
    let mut file: Value = serde_yaml_ng::from_str(&read("compose.yaml")).unwrap();
    file.apply_merge().unwrap();
    file
}

fn services(compose: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let services = compose["services"].as_mapping().unwrap().iter();
    services.map(|(name, service)| (name.as_str().unwrap(), service))
}

/// The mounts of a service, as `source:target…`.
fn volumes(service: &Value) -> impl Iterator<Item = (&str, &str)> {
    let volumes = service["volumes"].as_sequence().into_iter().flatten();
    volumes.map(|volume| volume.as_str().unwrap().split_once(':').unwrap())
}

#[test]
fn what_is_built_here_is_pulled_from_nowhere() {
    let compose = compose();
    let mut ours = BTreeSet::new();
    for (name, service) in services(&compose) {
        let image = service["image"].as_str().unwrap();
        let policy = service["pull_policy"].as_str();
        if image.starts_with("localhost/tovar/") {
            let expected = if service["build"].is_null() {
                "never"
            } else {
                "${TOVAR_BUILD:-build}"
            };
            assert_eq!(policy, Some(expected), "{name}");
            ours.insert(name);
        } else {
            // What a registry has; a variable goes before it.
            assert!(
                service["build"].is_null(),
                "{name} is built under a name that a registry may have"
            );
            assert!(
                image.contains("_IMAGE:-") && image.contains("@sha256:"),
                "{name}: {image}"
            );
        }
    }
    assert_eq!(ours.len(), 14, "{ours:?}");
}

/// A password or an address with one is a file, and no value of the compose file, which would be
/// known to everybody.
#[test]
fn no_secret_stands_in_the_compose_file() {
    assert!(!read("compose.yaml").contains("TOVAR_SECRET"));
    let mut checked = 0;
    let compose = compose();
    for (name, service) in services(&compose) {
        let Some(environment) = service["environment"].as_mapping() else {
            continue;
        };
        for (variable, value) in environment {
            let (variable, value) = (
                variable.as_str().unwrap(),
                value.as_str().unwrap_or_default(),
            );
            if ["PASSWORD", "SECRET", "DATABASE_URL", "_KEY"]
                .iter()
                .any(|part| variable.contains(part))
            {
                let file = value.strip_prefix("file:").unwrap_or(value);
                assert!(
                    file.starts_with("/run/secrets/"),
                    "{name}: {variable}={value}"
                );
                assert!(
                    value.starts_with("file:") || variable.ends_with("_FILE"),
                    "{name}: {variable}"
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 15, "{checked}");
}

#[test]
fn a_process_has_its_own_secrets_and_no_other_s() {
    let compose = compose();
    let mut readers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, service) in services(&compose).filter(|(name, _)| *name != "secrets") {
        for (volume, target) in volumes(service).filter(|(volume, _)| volume.ends_with("-secrets"))
        {
            assert_eq!(target, "/run/secrets:ro", "{name}");
            assert_eq!(
                volume,
                format!("{name}-secrets"),
                "{name} has the secrets of another"
            );
            readers.entry(volume).or_default().push(name);
        }
    }
    let maker: BTreeSet<&str> = volumes(&compose["services"]["secrets"])
        .map(|(volume, _)| volume)
        .filter(|volume| volume.ends_with("-secrets"))
        .collect();
    assert_eq!(
        maker,
        readers.keys().copied().collect(),
        "what is made, and what is read"
    );
    assert!(
        readers.len() == 14 && readers.values().all(|by| by.len() == 1),
        "{readers:?}"
    );
}

/// Runs the script that makes them, without the right to give files away.
fn make(secrets: &Path, arguments: &[&str]) -> String {
    let stubs = secrets.join("../stubs");
    fs::create_dir_all(&stubs).unwrap();
    for stub in ["chown", "id"] {
        let file = stubs.join(stub);
        fs::write(&file, "#!/bin/sh\necho 999\n").unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", stubs.display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .arg(root().join("compose/secrets.sh"))
        .args(arguments)
        .env("SECRETS", secrets)
        .env("PATH", path)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn files(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for process in fs::read_dir(folder).unwrap() {
        for file in fs::read_dir(process.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, 0o400, "{}", path.display());
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            found.insert(name, fs::read_to_string(path).unwrap());
        }
    }
    found
}

#[test]
fn each_secret_is_made_once_and_is_like_no_other() {
    let home = tempfile::tempdir().unwrap();
    let secrets = home.path().join("secrets");
    let compose = compose();
    for (_, target) in volumes(&compose["services"]["secrets"]) {
        if let Some(process) = target.strip_prefix("/secrets/") {
            fs::create_dir_all(secrets.join(process)).unwrap();
        }
    }
    let said = make(&secrets, &[]);
    assert!(
        said.contains("docker compose run --rm secrets users/first-manager-password"),
        "{said}"
    );
    let made = files(&secrets);

    // Every file that a process is told to read is there.
    for (name, service) in services(&compose) {
        let settings = serde_yaml_ng::to_string(&service["environment"]).unwrap();
        for file in settings.split("/run/secrets/").skip(1) {
            let end = file
                .find(|c: char| c.is_whitespace() || "'\"".contains(c))
                .unwrap_or(file.len());
            let file = format!("{name}/{}", &file[..end]);
            assert!(made.contains_key(&file), "{file} is read, and is not made");
        }
    }

    // A role's password is in its address, and nothing else is said twice.
    let (addresses, values): (Vec<_>, Vec<_>) = made
        .iter()
        .partition(|(name, _)| name.ends_with("database-url"));
    let different: BTreeSet<&String> = values.iter().map(|(_, value)| *value).collect();
    assert_eq!(different.len(), values.len(), "a secret is used twice");
    for (name, value) in &values {
        assert!(
            value.len() == 48 && value.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{name}"
        );
        assert!(!said.contains(*value), "{name} is shown");
    }
    for (name, address) in addresses {
        let (role, password) = address
            .strip_prefix("postgres://")
            .and_then(|rest| rest.split_once('@')?.0.split_once(':'))
            .unwrap();
        assert_eq!(made[&format!("postgres/{role}")], password, "{name}");
        // The service migrates as the owner, and a relay has its own role and no other.
        let (process, file) = name.split_once('/').unwrap();
        let expected = match process.strip_suffix("-relay") {
            Some(service) => format!("{service}_relay"),
            None if file == "migration-database-url" => process.to_owned(),
            None => format!("{process}_service"),
        };
        assert_eq!(role, expected, "{name}");
    }

    make(&secrets, &[]);
    assert_eq!(files(&secrets), made, "they stay");
    let shown = make(&secrets, &["users/first-manager-password"]);
    assert_eq!(shown.trim_end(), made["users/first-manager-password"]);
}

#[test]
fn no_password_is_an_argument_of_psql() {
    let scripts = ["compose.yaml", "helm/tovar-lib/templates/_postgres.tpl"];
    let mut checked = 0;
    for file in scripts {
        for line in read(file)
            .lines()
            .filter(|line| line.trim_start().starts_with("psql "))
        {
            let line = line.to_lowercase();
            assert!(
                !line.contains("password") && !line.contains("secret"),
                "{file}: {line}"
            );
            checked += 1;
        }
    }
    assert!(checked >= 3, "{checked}");
}
