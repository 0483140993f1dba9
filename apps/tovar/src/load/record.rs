//! The record that `locustfile.py` writes while it runs: a JSON object a line, each with its kind
//! and time.

use std::{
    io::{self, Read},
    path::Path,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Debug, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Note {
    /// The run's shop is open, and the first pause begins.
    Prepared {
        at: f64,
    },
    /// The first user comes.
    Begun {
        at: f64,
    },
    Second(Second),
    /// The last user has left, and the second pause begins.
    Ended {
        at: f64,
    },
    Counted {
        at: f64,
        locust: Counted,
        gateway: Option<Value>,
    },
    Reconciled {
        result: Reconciled,
    },
}

/// One second of the load. Times in milliseconds, of the requests that ended in this second.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Second {
    pub at: f64,
    pub users: u32,
    pub requests: u64,
    pub failures: u64,
    /// Orders accepted since the beginning.
    pub accepted: u64,
    pub p50: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
}

/// Requests as Locust saw them. Times in seconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Counted {
    pub requests: u64,
    pub errors: u64,
    pub by_class: Value,
    pub failures: u64,
    pub p50: f64,
    pub p99: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reconciled {
    pub differences: Vec<String>,
    pub checked: Value,
    /// The number of orders by final status.
    pub orders: Value,
    pub reasons: Value,
    /// Answers thrown away, connections cut, requests sent again.
    pub mishaps: Value,
}

/// Reads the record while it grows.
#[derive(Default)]
pub struct Reader {
    file: Option<std::fs::File>,
    rest: String,
}

impl Reader {
    /// The complete lines since the last call.
    pub fn read(&mut self, path: &Path) -> anyhow::Result<Vec<Note>> {
        if self.file.is_none() {
            match std::fs::File::open(path) {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(file) = &mut self.file {
            file.read_to_string(&mut self.rest)?;
        }
        let whole = self.rest.rfind('\n').map_or(0, |end| end + 1);
        let rest = self.rest.split_off(whole);
        let lines = std::mem::replace(&mut self.rest, rest);
        lines
            .lines()
            .map(|line| Ok(serde_json::from_str(line)?))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn only_whole_lines_are_read_each_once() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut reader = Reader::default();
        write!(
            file,
            "{{\"what\": \"prepared\", \"at\": 1.5}}\n{{\"what\": \"beg"
        )
        .unwrap();
        assert!(matches!(
            reader.read(file.path()).unwrap()[..],
            [Note::Prepared { .. }]
        ));
        assert!(reader.read(file.path()).unwrap().is_empty());
        writeln!(file, "un\", \"at\": 2}}").unwrap();
        assert!(matches!(
            reader.read(file.path()).unwrap()[..],
            [Note::Begun { .. }]
        ));
    }

    #[test]
    fn a_file_that_is_not_there_yet_has_no_lines() {
        assert!(
            Reader::default()
                .read(Path::new("/no/such/file"))
                .unwrap()
                .is_empty()
        );
    }
}
