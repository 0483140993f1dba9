use std::str::FromStr;

/// The name that a client gives its request: 1 to 255 visible ASCII characters.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct IdempotencyKey(String);

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "Idempotency-Key is 1 to 255 visible ASCII characters, bare or as a quoted string (RFC 8941)"
)]
pub struct InvalidKey;

impl IdempotencyKey {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IdempotencyKey {
    type Err = InvalidKey;

    /// Reads a structured-field string (`"8e03978e"`), or the bare characters that most clients
    /// send.
    fn from_str(header: &str) -> Result<Self, InvalidKey> {
        let header = header.trim_matches([' ', '\t']);
        let key = match header.strip_prefix('"') {
            Some(rest) => unquote(rest)?,
            None => header.to_owned(),
        };
        let visible = key.bytes().all(|byte| byte.is_ascii_graphic());
        if visible && (1..=255).contains(&key.len()) {
            Ok(Self(key))
        } else {
            Err(InvalidKey)
        }
    }
}

/// The text of an sf-string after its opening quote (RFC 8941, section 4.2.5).
fn unquote(rest: &str) -> Result<String, InvalidKey> {
    let mut key = String::with_capacity(rest.len());
    let mut characters = rest.chars();
    loop {
        match characters.next() {
            Some('"') if characters.as_str().is_empty() => return Ok(key),
            Some('\\') => match characters.next() {
                Some(escaped @ ('"' | '\\')) => key.push(escaped),
                _ => return Err(InvalidKey),
            },
            Some('"') | None => return Err(InvalidKey),
            Some(plain) => key.push(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(header: &str) -> Option<String> {
        header.parse::<IdempotencyKey>().ok().map(|key| key.0)
    }

    #[test]
    fn a_key_is_the_same_bare_and_quoted() {
        assert_eq!(key("8e03978e-40d5"), key("\"8e03978e-40d5\""));
        assert_eq!(key(r#""a\"b\\c""#).as_deref(), Some(r#"a"b\c"#));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let long = "x".repeat(256);
        for wrong in [
            "",
            "\"\"",
            "\"open",
            "\"a\"b",
            "a b",
            "ä",
            "\"\\x\"",
            &long,
            "\"a\";p=1",
        ] {
            assert_eq!(key(wrong), None, "{wrong}");
        }
        assert!(key(&long[1..]).is_some());
    }

    proptest! {
        #[test]
        fn a_quoted_key_reads_back(text in "[!-~]{1,255}") {
            let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
            prop_assert_eq!(key(&quoted), Some(text));
        }

        #[test]
        fn no_header_makes_the_parser_panic(text in ".*") {
            let _ = key(&text);
        }
    }
}
