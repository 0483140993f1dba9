//! Python packages, and jars: what is fetched and run is what was meant.

use std::path::Path;

use crate::read;

/// The packages that `pip` installs, wherever it is called.
#[test]
fn each_python_package_is_of_one_version_and_known_hashes() {
    let lists = [
        "load/requirements.txt",
        "tests/api/requirements.txt",
        "helm/tests/requirements.txt",
        ".ci/go.txt",
    ];
    for list in lists {
        let text = read(list);
        let text = text.replace("\\\n", " ");
        let packages = text
            .lines()
            .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
        let mut count = 0;
        for package in packages {
            let name = package.split_whitespace().next().unwrap();
            assert!(name.contains("=="), "{list}: {name} has no version");
            assert!(
                package.contains("--hash=sha256:"),
                "{list}: {name} has no hash"
            );
            count += 1;
        }
        assert!(count > 0, "{list}");
    }
    for script in [".ci/run", ".ci/python", "helm/check"] {
        let text = read(script);
        let text = text.replace("\\\n", " ");
        for line in text
            .lines()
            .filter(|line| line.contains("pip") && line.contains(" install "))
        {
            if line.contains("apt-get") {
                continue;
            }
            assert!(
                line.contains("--require-hashes --requirement"),
                "{script}: {line}"
            );
        }
    }
}

#[test]
fn maven_is_strict_and_what_it_brings_is_known() {
    for file in [".ci/jars", "libs/backing/src/cache.rs"] {
        let text = read(file);
        assert!(text.contains("--strict-checksums"), "{file}");
        assert!(
            text.contains("maven-dependency-plugin:3"),
            "{file}: a plugin of any version is run"
        );
    }
    for file in [".ci/local-images", "helm/check"] {
        let text = read(file);
        assert!(
            !text
                .lines()
                .any(|line| line.trim_start().starts_with("mvn ")),
            "{file} calls Maven by itself"
        );
    }
    for list in ["libs/backing/src/jars.sha256", "helm/tests/strimzi.sha256"] {
        let text = read(list);
        assert!(text.lines().count() > 10, "{list}");
        for line in text.lines() {
            let (hash, name) = line.split_once("  ").unwrap();
            assert!(
                hash.len() == 64 && Path::new(name).extension().is_some_and(|end| end == "jar"),
                "{list}: {line}"
            );
        }
    }
}
