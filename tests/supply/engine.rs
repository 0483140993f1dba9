//! The Docker engine of the gate.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
};

use crate::root;

/// Starts or stops the gate's engine where an engine answers at the folder's socket, and only
/// there; what was said.
fn engine(act: &str, home: &Path, stubs: &Path) -> (bool, String) {
    // The stub answers only if a socket is named.
    let docker = stubs.join("docker");
    fs::write(&docker, "#!/bin/sh\n[ -n \"${DOCKER_HOST:-}\" ]\n").unwrap();
    fs::set_permissions(&docker, PermissionsExt::from_mode(0o755)).unwrap();
    let output = Command::new("sh")
        .arg(root().join(".ci/docker-engine"))
        .arg(act)
        .env("TOVAR_DOCKER", home)
        .env(
            "PATH",
            format!("{}:{}", stubs.display(), std::env::var("PATH").unwrap()),
        )
        .env_remove("DOCKER_HOST")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn what_another_user_laid_in_the_engine_s_place_is_not_taken_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let stubs = folder.path().join("stubs");
    let (own, open, link) = (
        folder.path().join("own"),
        folder.path().join("open"),
        folder.path().join("link"),
    );
    for made in [&stubs, &own, &open] {
        fs::create_dir(made).unwrap();
    }
    fs::set_permissions(&own, PermissionsExt::from_mode(0o700)).unwrap();
    fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).unwrap();
    symlink(&own, &link).unwrap();
    fs::write(own.join("kept"), "").unwrap();
    for place in [&open, &link] {
        for act in ["start", "stop"] {
            let (is_done, said) = engine(act, place, &stubs);
            assert!(
                !is_done && said.contains("not a folder of this user alone"),
                "{act}: {said}"
            );
            assert!(!said.contains("export DOCKER_HOST"), "{said}");
        }
    }
    assert!(own.join("kept").exists());
    let (is_done, said) = engine("start", &own, &stubs);
    assert!(is_done && said.contains("export DOCKER_HOST"), "{said}");
}
