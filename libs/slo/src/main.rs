//! Writes the files that are generated from the objectives in `grafana/slo`.

use std::{fs, process::ExitCode};

fn main() -> ExitCode {
    let folder = slo::folder();
    let objectives = match slo::spec::read(&folder.join("slo")) {
        Ok(objectives) => objectives,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    for (path, text) in slo::generated(&objectives) {
        let path = folder.join(path);
        if let Err(error) = fs::write(&path, text) {
            eprintln!("error: {} cannot be written: {error}", path.display());
            return ExitCode::FAILURE;
        }
        println!("{}", path.display());
    }
    ExitCode::SUCCESS
}
