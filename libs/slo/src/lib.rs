//! From the service level objectives in `grafana/slo` to the files that a Prometheus and a Grafana
//! read: recording rules, burn-rate alerts, and boards. The files are checked in; a test fails when
//! they differ from what this crate generates.

pub mod boards;
pub mod rules;
pub mod spec;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

pub use spec::{Objective, SpecError};

/// The folder `grafana` of this workspace.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../grafana")
}

/// All generated files, by their paths in the folder `grafana`.
pub fn generated(objectives: &[Objective]) -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::from([
        (PathBuf::from("rules/slo.yaml"), rules::file(objectives)),
        (
            PathBuf::from("tests/slo.yaml"),
            rules::tests::file(objectives),
        ),
    ]);
    for board in boards::all(objectives) {
        let path = PathBuf::from(format!("boards/{}.json", board.uid()));
        files.insert(path, board.json());
    }
    files
}
