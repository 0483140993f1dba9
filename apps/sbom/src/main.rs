//! `sbom FOLDER PROGRAM…`: writes what each of these programs of the workspace is made of into a
//! folder. The Dockerfile calls it.

use std::{env, path::Path, process::Command};

use anyhow::bail;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [folder, programs @ ..] = arguments.as_slice() else {
        bail!("name a folder and programs of the workspace");
    };
    let programs: Vec<&str> = programs.iter().map(String::as_str).collect();
    let cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    sbom::Workspace::read(Path::new("."), cargo)?.write(&programs, Path::new(folder))
}
