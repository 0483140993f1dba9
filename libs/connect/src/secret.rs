use std::{fmt, fs, str::FromStr};

/// A value that must not appear in a log, in `Debug` output or in `--help`.
///
/// As a setting it is either the value itself or `file:/path`, which reads the value from that file
/// without its last line break, as Docker and Kubernetes mount secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("cannot read the secret's file {path}")]
    File {
        path: String,
        source: std::io::Error,
    },
    #[error("the secret is empty")]
    Empty,
}

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let value = match text.strip_prefix("file:") {
            Some(path) => {
                let content = fs::read_to_string(path).map_err(|source| SecretError::File {
                    path: path.to_owned(),
                    source,
                })?;
                content.trim_end_matches(['\r', '\n']).to_owned()
            }
            None => text.to_owned(),
        };
        if value.is_empty() {
            Err(SecretError::Empty)
        } else {
            Ok(Self(value))
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_shows() {
        assert!(!format!("{:?}", Secret::new("hunter2")).contains("hunter2"));
    }

    #[test]
    fn a_secret_may_stand_in_a_file() {
        let file = std::env::temp_dir().join(format!("tovar-secret-{}", std::process::id()));
        fs::write(&file, "hunter2\n").unwrap();
        let secret: Secret = format!("file:{}", file.display()).parse().unwrap();
        fs::remove_file(&file).unwrap();
        assert_eq!(secret.expose(), "hunter2");
        assert!("file:/does/not/exist".parse::<Secret>().is_err());
        assert!("".parse::<Secret>().is_err());
    }
}
