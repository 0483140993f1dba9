use std::fmt;

use actix_web::http::header::{self, HeaderMap, HeaderName};
use kernel::{Class, Classify};

/// The version of a resource, counted up by each change. It is the resource's ETag, so that an
/// update can name the state it is based on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Version(i64);

impl From<i64> for Version {
    fn from(version: i64) -> Self {
        Self(version)
    }
}
/// Writes it as an ETag.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

/// The conditions of a request: `If-Match` and `If-None-Match` (RFC 9110, section 13). No resource
/// here has a date of its last change, so conditions on dates are ignored, as the section says.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Preconditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Tags {
    /// `*`: any version.
    Any,
    Listed(Vec<Tag>),
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Tag {
    is_weak: bool,
    /// With its quotes.
    text: String,
}

/// A condition of the request does not hold: often another request changed the resource first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PreconditionFailed {
    #[error(
        "it was changed meanwhile; read it again, and send the change with its new ETag as If-Match"
    )]
    Changed,
    #[error("it is not there, and If-Match is for what is")]
    Missing,
    #[error("it is there already; without If-None-Match the request would change it")]
    Exists,
}

impl Classify for PreconditionFailed {
    fn class(&self) -> Class {
        Class::Precondition
    }
    fn code(&self) -> &'static str {
        "precondition_failed"
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{header} is * or a list of ETags, each in quotes, such as \"3\"")]
pub struct InvalidPrecondition {
    header: &'static str,
}

impl Classify for InvalidPrecondition {
    fn class(&self) -> Class {
        Class::Malformed
    }
    fn code(&self) -> &'static str {
        "invalid_precondition"
    }
}

impl Preconditions {
    /// Checks the conditions of a change against the current version; `None` if there is no such
    /// resource.
    pub fn check(&self, current: Option<i64>) -> Result<(), PreconditionFailed> {
        let etag = current.map(etag);
        self.check_match(current.is_some(), etag.as_deref())?;
        self.check_none_match(current.is_some(), etag.as_deref())
    }

    /// Checks the conditions on a resource without versions: no ETag matches it.
    pub fn check_existence(&self, exists: bool) -> Result<(), PreconditionFailed> {
        self.check_match(exists, None)?;
        self.check_none_match(exists, None)
    }

    /// Checks the conditions of a change that changes nothing. `If-Match` is ignored then, because
    /// this may be a retry whose first answer was lost (RFC 9110, section 13.1.1).
    pub fn check_unchanged(&self, current: i64) -> Result<(), PreconditionFailed> {
        self.check_none_match(true, Some(&etag(current)))
    }

    /// Whether the request must not be repeated when its outcome is unknown: `If-None-Match` would
    /// fail on what the first attempt made.
    pub(crate) fn forbid_repetition(&self) -> bool {
        self.if_none_match.is_some()
    }

    fn check_match(&self, exists: bool, etag: Option<&str>) -> Result<(), PreconditionFailed> {
        let Some(tags) = &self.if_match else {
            return Ok(());
        };
        match tags {
            _ if !exists => Err(PreconditionFailed::Missing),
            Tags::Any => Ok(()),
            Tags::Listed(tags) => {
                let fits = tags
                    .iter()
                    .any(|tag| !tag.is_weak && Some(&*tag.text) == etag);
                fits.then_some(()).ok_or(PreconditionFailed::Changed)
            }
        }
    }

    /// Compares weakly: a weak tag matches the strong tag of the same text.
    fn check_none_match(&self, exists: bool, etag: Option<&str>) -> Result<(), PreconditionFailed> {
        let is_named = match &self.if_none_match {
            None => false,
            Some(Tags::Any) => exists,
            Some(Tags::Listed(tags)) => tags.iter().any(|tag| Some(&*tag.text) == etag),
        };
        (!is_named).then_some(()).ok_or(PreconditionFailed::Exists)
    }

    /// How a read is answered whose answer has this ETag.
    pub(crate) fn of_read(&self, etag: &str) -> Result<Read, PreconditionFailed> {
        self.check_match(true, Some(etag))?;
        Ok(match self.check_none_match(true, Some(etag)) {
            Ok(()) => Read::Whole,
            Err(_) => Read::NotModified,
        })
    }

    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, InvalidPrecondition> {
        Ok(Self {
            if_match: tags(headers, &header::IF_MATCH, "If-Match")?,
            if_none_match: tags(headers, &header::IF_NONE_MATCH, "If-None-Match")?,
        })
    }
}

/// How a read with conditions is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Read {
    Whole,
    /// The caller has this version.
    NotModified,
}

fn etag(version: i64) -> String {
    Version(version).to_string()
}

/// The tags of a header, which may come in several lines.
fn tags(
    headers: &HeaderMap,
    name: &HeaderName,
    shown: &'static str,
) -> Result<Option<Tags>, InvalidPrecondition> {
    let invalid = InvalidPrecondition { header: shown };
    let mut lines = Vec::new();
    for line in headers.get_all(name) {
        lines.push(line.to_str().map_err(|_| invalid)?);
    }
    if lines.is_empty() {
        return Ok(None);
    }
    let text = lines.join(",");
    if text.trim() == "*" {
        return Ok(Some(Tags::Any));
    }
    let listed = list(&text).filter(|tags| !tags.is_empty()).ok_or(invalid)?;
    Ok(Some(Tags::Listed(listed)))
}

/// `entity-tag = [ W/ ] DQUOTE *etagc DQUOTE`, with commas between them, and empty elements passed
/// over.
fn list(text: &str) -> Option<Vec<Tag>> {
    let mut tags = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if let Some(after_comma) = rest.strip_prefix(',') {
            rest = after_comma.trim_start();
            continue;
        }
        let strong = rest.strip_prefix("W/");
        let quoted = strong.unwrap_or(rest).strip_prefix('"')?;
        let (inside, after) = quoted.split_once('"')?;
        if inside.contains(|c: char| c.is_ascii_control() || c == ' ') {
            return None;
        }
        tags.push(Tag {
            is_weak: strong.is_some(),
            text: format!("\"{inside}\""),
        });
        rest = after.trim_start();
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
    }
    Some(tags)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn sent(
        name: &HeaderName,
        lines: &[&'static str],
    ) -> Result<Preconditions, InvalidPrecondition> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name.clone(), HeaderValue::from_static(line));
        }
        Preconditions::of(&headers)
    }

    #[test]
    fn if_match_fits_by_the_strong_comparison() {
        let check = |lines: &[&'static str], current| {
            sent(&header::IF_MATCH, lines).unwrap().check(current)
        };
        for fitting in [
            &["\"3\""][..],
            &["*"],
            &["\"1\", \"3\""],
            &["\"1\"", "W/\"3\", \"3\""],
            &[" , \"3\" ,"],
            &["\"a,b\",\"3\""],
        ] {
            assert_eq!(check(fitting, Some(3)), Ok(()), "{fitting:?}");
            assert_eq!(
                check(fitting, None),
                Err(PreconditionFailed::Missing),
                "{fitting:?}"
            );
        }
        for other in [
            &["\"4\""][..],
            &["W/\"3\""],
            &["\"\""],
            &["\"1\",\"2\""],
            &["\"-1\""],
        ] {
            assert_eq!(
                check(other, Some(3)),
                Err(PreconditionFailed::Changed),
                "{other:?}"
            );
        }
        assert_eq!(check(&[], None), Ok(()));
    }

    #[test]
    fn if_none_match_fits_by_the_weak_comparison() {
        let check = |lines: &[&'static str], current| {
            sent(&header::IF_NONE_MATCH, lines).unwrap().check(current)
        };
        for naming in [&["*"][..], &["\"3\""], &["W/\"3\""], &["\"1\"", "W/\"3\""]] {
            assert_eq!(
                check(naming, Some(3)),
                Err(PreconditionFailed::Exists),
                "{naming:?}"
            );
            assert_eq!(check(naming, None), Ok(()), "{naming:?}");
        }
        assert_eq!(check(&["\"4\""], Some(3)), Ok(()));
    }

    #[test]
    fn a_read_is_answered_in_full_unless_its_reader_has_it() {
        let read = |name, line| sent(name, &[line]).unwrap().of_read("\"3\"");
        for (line, answer) in [
            ("*", Read::NotModified),
            ("W/\"3\"", Read::NotModified),
            ("\"4\"", Read::Whole),
        ] {
            assert_eq!(read(&header::IF_NONE_MATCH, line), Ok(answer), "{line}");
        }
        assert_eq!(read(&header::IF_MATCH, "\"3\""), Ok(Read::Whole));
        assert_eq!(read(&header::IF_MATCH, "*"), Ok(Read::Whole));
        assert_eq!(
            read(&header::IF_MATCH, "\"4\""),
            Err(PreconditionFailed::Changed)
        );
    }

    /// It would otherwise be no condition at all, and something be overwritten that was to be
    /// spared.
    #[test]
    fn what_is_no_etag_is_refused() {
        for line in [
            "3",
            "",
            "\"3",
            "W/3",
            "w/\"3\"",
            "*, \"3\"",
            "\"3\" \"4\"",
            "\"3\"x",
            "\"a b\"",
            ",",
            "\"\u{e9}\"",
        ] {
            for name in [header::IF_MATCH, header::IF_NONE_MATCH] {
                let mut headers = HeaderMap::new();
                headers.append(name, HeaderValue::from_bytes(line.as_bytes()).unwrap());
                assert!(Preconditions::of(&headers).is_err(), "{line}");
            }
        }
    }

    #[test]
    fn both_must_hold() {
        let mut headers = HeaderMap::new();
        headers.append(header::IF_MATCH, HeaderValue::from_static("\"3\""));
        headers.append(header::IF_NONE_MATCH, HeaderValue::from_static("\"3\""));
        let both = Preconditions::of(&headers).unwrap();
        assert_eq!(both.check(Some(3)), Err(PreconditionFailed::Exists));
        assert_eq!(both.check(Some(4)), Err(PreconditionFailed::Changed));
        assert_eq!(both.check_unchanged(4), Ok(()));
        assert_eq!(both.check_unchanged(3), Err(PreconditionFailed::Exists));
    }
}
