use std::{fs, io, path::Path};

use serde::Deserialize;

/// A file in the form of Sloth's `prometheus/v1` (sloth.dev).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: String,
    service: String,
    slos: Vec<Slo>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Slo {
    name: String,
    /// In percent.
    objective: f64,
    description: String,
    #[serde(with = "serde_yaml_ng::with::singleton_map")]
    sli: Sli,
}

/// How bad events are measured. `{{.window}}` stands for a duration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Sli {
    /// The share of bad events among all.
    Events {
        error_query: String,
        total_query: String,
    },
    /// The share of time in which the value is bad.
    Raw { error_ratio_query: String },
}

/// A service level objective.
#[derive(Clone, Debug)]
pub struct Objective {
    pub service: String,
    pub name: String,
    pub description: String,
    /// The share that must be good, from 0 to 1.
    pub target: f64,
    pub sli: Sli,
}

impl Objective {
    /// The share that may be bad, from 0 to 1.
    pub fn budget(&self) -> f64 {
        // Rounded, as percentages with a decimal have no exact difference.
        ((1.0 - self.target) * 1e6).round() / 1e6
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    #[error("{file} cannot be read: {source}")]
    File { file: String, source: io::Error },
    #[error("{file} is no specification: {source}")]
    Form {
        file: String,
        source: serde_yaml_ng::Error,
    },
    #[error("{file} has version {version}; prometheus/v1 is known")]
    Version { file: String, version: String },
    #[error("{name} has the objective {objective}; it is a percentage below 100")]
    Objective { name: String, objective: f64 },
}

/// All objectives of a folder, by file name.
pub fn read(folder: &Path) -> Result<Vec<Objective>, SpecError> {
    let of_folder = |source| SpecError::File {
        file: folder.display().to_string(),
        source,
    };
    let mut files = fs::read_dir(folder)
        .and_then(|entries| {
            entries
                .map(|entry| Ok(entry?.path()))
                .collect::<io::Result<Vec<_>>>()
        })
        .map_err(of_folder)?;
    files.sort();
    let mut all = Vec::new();
    for path in files {
        let file = path.display().to_string();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(source) => return Err(SpecError::File { file, source }),
        };
        all.extend(parse(&file, &text)?);
    }
    Ok(all)
}

fn parse(file: &str, text: &str) -> Result<Vec<Objective>, SpecError> {
    let file = file.to_owned();
    let spec: File = match serde_yaml_ng::from_str(text) {
        Ok(spec) => spec,
        Err(source) => return Err(SpecError::Form { file, source }),
    };
    if spec.version != "prometheus/v1" {
        let version = spec.version;
        return Err(SpecError::Version { file, version });
    }
    let objective = |slo: Slo| {
        let Slo {
            name, objective, ..
        } = slo;
        if !(0.0..100.0).contains(&objective) {
            return Err(SpecError::Objective { name, objective });
        }
        Ok(Objective {
            service: spec.service.clone(),
            name,
            description: slo.description,
            target: objective / 100.0,
            sli: slo.sli,
        })
    };
    spec.slos.into_iter().map(objective).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: &str = "version: prometheus/v1\nservice: s\nslos:\n- name: n\n  objective: \
                        99.9\n  description: d\n  sli:\n    raw:\n      error_ratio_query: q\n";

    #[test]
    fn a_specification_says_what_share_may_be_bad() {
        let all = parse("f", SPEC).unwrap_or_default();
        assert_eq!(all.len(), 1);
        assert!((all[0].budget() - 0.001).abs() < 1e-12);
    }

    #[test]
    fn what_is_no_specification_is_refused() {
        for (wrong, why) in [
            (SPEC.replace("99.9", "100"), "a percentage below 100"),
            (SPEC.replace("v1", "v2"), "prometheus/v1 is known"),
            (SPEC.replace("service", "servise"), "is no specification"),
        ] {
            let error = parse("f", &wrong).err().map(|error| error.to_string());
            assert!(error.is_some_and(|error| error.contains(why)), "{wrong}");
        }
    }
}
