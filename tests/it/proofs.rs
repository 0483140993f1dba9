use std::{
    fs,
    path::{Path, PathBuf},
};

/// docs/proofs.md names tests; each of them must be there.
#[test]
fn every_test_that_the_docs_name_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("docs/proofs.md")).unwrap();
    let mut names: Vec<&str> = page.split('`').skip(1).step_by(2).collect();
    names.retain(|name| {
        name.contains("::")
            || name
                .split_once(' ')
                .is_some_and(|(folder, _)| folder_of(&root, folder).is_dir())
    });
    assert!(names.len() > 60, "{names:?}");
    for name in names {
        let (sources, wanted) = if let Some((folder, module)) = name.split_once(' ') {
            (
                sources_of(&folder_of(&root, folder), module),
                "test".to_owned(),
            )
        } else {
            let (module, test) = name.rsplit_once("::").unwrap();
            (
                sources_of(&root.join("tests/it"), module),
                format!("fn {test}("),
            )
        };
        assert!(sources.contains(&wanted), "{name} is not there");
    }
}

fn folder_of(root: &Path, name: &str) -> PathBuf {
    let candidates = ["apps", "libs", ""].map(|parent| root.join(parent).join(name));
    let found = candidates.into_iter().find(|folder| folder.is_dir());
    found.unwrap_or_else(|| {
        root.join(if name == "saga-model" {
            "tests/model"
        } else {
            "nowhere"
        })
    })
}

/// The text of a module, in whichever of the folders it lies.
fn sources_of(folder: &Path, module: &str) -> String {
    let module = module.replace("::", "/");
    let places = ["", "src", "tests/it"].into_iter().flat_map(|place| {
        let file = folder.join(place).join(&module);
        [file.with_extension("rs"), file.join("mod.rs")]
    });
    places
        .filter_map(|file| fs::read_to_string(file).ok())
        .collect()
}
