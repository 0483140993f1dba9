use connect::Secret;
use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use super::person::PersonError;

/// A password as it is hashed: every blank is the one of ASCII, and what can be composed is (OpaqueString, RFC 8265, section
/// 4.2), so that it is the same on every keyboard. Of any characters that Unicode has or will have, as NIST SP 800-63B wishes;
/// the profile's own table is of 2013.
#[derive(Clone)]
pub struct Password {
    prepared: Secret,
    /// If that is something else.
    as_typed: Option<Secret>,
}

impl Password {
    /// A new password: long enough to be worth hashing, short enough not to be an attack (NIST SP 800-63B, 5.1.1.2).
    pub fn parse(text: &str) -> Result<Self, PersonError> {
        let password = Self::typed(text);
        let prepared = password.prepared.expose();
        let fits = (8..=128).contains(&prepared.chars().count()) && !prepared.chars().any(char::is_control);
        fits.then_some(password).ok_or(PersonError::Password)
    }

    /// Whatever is typed as one to log in.
    pub fn typed(text: &str) -> Self {
        let blank = |c: char| match c.general_category() {
            GeneralCategory::SpaceSeparator => ' ',
            _ => c,
        };
        let prepared: String = text.chars().map(blank).nfc().collect();
        Self {
            as_typed: (prepared != text).then(|| Secret::new(text)),
            prepared: Secret::new(prepared),
        }
    }

    pub fn prepared(&self) -> &Secret {
        &self.prepared
    }

    /// As it was typed, if that is another text: passwords were once hashed so.
    pub fn as_typed(&self) -> Option<&Secret> {
        self.as_typed.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prepared(text: &str) -> String {
        Password::parse(text).unwrap().prepared.expose().to_owned()
    }

    #[test]
    fn a_password_is_the_same_on_every_keyboard() {
        assert_eq!(prepared("correct\u{a0}ho\u{308}rse"), "correct hörse");
        assert_eq!(prepared("correct\u{3000}hörse"), "correct hörse");
        for as_it_is in ["Correct Horse", "  blanks  ", "🦄🦄🦄🦄🦄🦄🦄🦄", "①②③④⑤⑥⑦⑧"]
        {
            assert_eq!(prepared(as_it_is), as_it_is);
            assert!(Password::typed(as_it_is).as_typed().is_none());
        }
    }

    #[test]
    fn what_is_no_password_is_refused() {
        let long = "x".repeat(129);
        // Eight characters as they were typed, and seven as they count.
        for wrong in [
            "",
            "seven77",
            "e\u{301}seven7",
            "a\u{7}bcdefgh",
            "a\nbcdefgh",
            &long,
        ] {
            assert_eq!(
                Password::parse(wrong).err(),
                Some(PersonError::Password),
                "{wrong:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _ = Password::parse(&text);
        }
    }
}
