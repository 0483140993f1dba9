use std::path::{Path, PathBuf};

use anyhow::ensure;

/// The folder of the repository, with the locustfile and the boards in it.
pub fn repository() -> anyhow::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    ensure!(
        folder.join("locustfile.py").exists(),
        "{} has no locustfile.py; this command runs in a clone",
        folder.display()
    );
    Ok(folder.canonicalize()?)
}
