use std::fmt;

use actix_web::http::header::HeaderMap;
use kernel::{Class, Classify};

/// How often a thing was changed: its ETag, so that an update can say which state it knows (RFC 9110, section 13).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Version(i64);

/// Somebody else was faster.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("it was changed meanwhile; read it again, and send the change with its new ETag as If-Match")]
pub struct PreconditionFailed;

impl Classify for PreconditionFailed {
    fn class(&self) -> Class {
        Class::Precondition
    }
    fn code(&self) -> &'static str {
        "precondition_failed"
    }
}

impl Version {
    /// Fails unless the thing still has this version.
    pub fn check(self, current: i64) -> Result<(), PreconditionFailed> {
        if self.0 == current {
            Ok(())
        } else {
            Err(PreconditionFailed)
        }
    }

    /// The version that `If-Match` names, if it names one; `*` names any. What is no ETag of ours fits nothing.
    pub(crate) fn from_if_match(headers: &HeaderMap) -> Option<Self> {
        let header = headers.get("if-match")?.to_str().unwrap_or_default().trim();
        if header == "*" {
            return None;
        }
        let quoted = header.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        Some(Self(quoted.and_then(|text| text.parse().ok()).unwrap_or(-1)))
    }
}

impl From<i64> for Version {
    fn from(version: i64) -> Self {
        Self(version)
    }
}
/// As an ETag.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn an_etag_fits_its_version_only() {
        let sent = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(
                HeaderName::from_static("if-match"),
                HeaderValue::from_static(text),
            );
            Version::from_if_match(&headers)
        };
        assert_eq!(Version::from(3).to_string(), "\"3\"");
        assert_eq!(sent("\"3\""), Some(Version(3)));
        assert_eq!(sent("*"), None);
        for other in ["3", "W/\"3\"", "\"x\"", ""] {
            assert!(sent(other).unwrap().check(3).is_err(), "{other}");
        }
    }
}
