use connect::Secret;
use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use super::{common_passwords::is_common, person::PersonError};

/// A password, prepared for hashing: every blank becomes the ASCII space, and the text is composed
/// (NFC), as OpaqueString does (RFC 8265, section 4.2), so that it is the same on every keyboard.
/// All characters of Unicode are allowed, as NIST SP 800-63B asks; the profile's own table is of
/// 2013.
#[derive(Clone)]
pub struct Password {
    prepared: Secret,
    /// The text as it was typed, if that differs.
    as_typed: Option<Secret>,
}

impl Password {
    /// Parses a new password: 8 to 128 characters, and not one of the commonest, which an attacker
    /// guesses first (NIST SP 800-63B, 5.1.1.2). See also [`Password::is_not_of`].
    pub fn parse(text: &str) -> Result<Self, PersonError> {
        let password = Self::typed(text);
        let prepared = password.prepared.expose();
        let fits = (8..=128).contains(&prepared.chars().count())
            && !prepared.chars().any(char::is_control);
        if !fits {
            return Err(PersonError::Password);
        }
        if is_common(prepared) {
            return Err(PersonError::CommonPassword);
        }
        Ok(password)
    }

    /// Refuses a password that is its owner's address, the part of it before the @, or their name.
    pub fn is_not_of(&self, address: &str, name: &str) -> Result<(), PersonError> {
        let before_the_at = address
            .rsplit_once('@')
            .map_or(address, |(before, _)| before);
        let plain = |text: &str| Self::typed(text).prepared.expose().trim().to_lowercase();
        let password = plain(self.prepared.expose());
        let is_known = [address, before_the_at, name]
            .iter()
            .any(|known| plain(known) == password);
        if is_known {
            return Err(PersonError::CommonPassword);
        }
        Ok(())
    }

    /// Takes any text as the password of a log-in.
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

    /// The text as it was typed, if that differs: an earlier release hashed that.
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
        for as_it_is in [
            "Correct Horse",
            "  blanks  ",
            "🦄🦄🦄🦄🦄🦄🦄🦄",
            "①②③④⑤⑥⑦⑧",
        ] {
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

    #[test]
    fn what_everybody_guesses_first_is_refused() {
        for common in ["password", "PassWord1", "12345678", "qwertyuiop"] {
            assert_eq!(
                Password::parse(common).err(),
                Some(PersonError::CommonPassword),
                "{common:?}"
            );
        }
        let refused = |password: &str, address, name| {
            let password = Password::parse(password).unwrap();
            password.is_not_of(address, name).is_err()
        };
        for own in [
            "ada.lovelace@example.org",
            "ADA.Lovelace@example.org",
            "ada.lovelace",
            "Ada Lovelace",
            "ada\u{a0}lovelace ",
        ] {
            assert!(
                refused(own, "ada.lovelace@example.org", "Ada Lovelace"),
                "{own:?}"
            );
        }
        assert!(!refused(
            "ada.lovelace likes tea",
            "ada.lovelace@example.org",
            "Ada Lovelace"
        ));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _ = Password::parse(&text);
        }
    }
}
