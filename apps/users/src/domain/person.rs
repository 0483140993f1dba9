use kernel::{Class, Classify};

/// An e-mail address in lower case. Whether it reaches anybody is not checked: nothing is ever sent to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Email(String);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PersonError {
    #[error(
        "email: an address has one @, something on both sides of it, no blanks, and at most 254 characters"
    )]
    Email,
    #[error("name: 1 to 100 characters, without control characters, and not only blanks")]
    Name,
    #[error("password: 8 to 128 characters")]
    Password,
}

impl Classify for PersonError {
    fn class(&self) -> Class {
        Class::Invalid
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Email => "invalid_email",
            Self::Name => "invalid_name",
            Self::Password => "invalid_password",
        }
    }
}

impl Email {
    pub fn parse(text: &str) -> Result<Self, PersonError> {
        let (local, domain) = text.split_once('@').ok_or(PersonError::Email)?;
        let plain = text.chars().all(|c| !c.is_whitespace() && !c.is_control());
        let shaped = !local.is_empty() && !domain.is_empty() && !domain.contains('@');
        if plain && shaped && text.chars().count() <= 254 {
            // Lower case is PostgreSQL's business too: only ASCII is folded, the same in both.
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(PersonError::Email)
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A person's name as they wrote it, without blanks around it.
pub fn parse_name(text: &str) -> Result<String, PersonError> {
    let name = text.trim();
    let fits = (1..=100).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if fits {
        Ok(name.to_owned())
    } else {
        Err(PersonError::Name)
    }
}

/// Long enough to be worth hashing, short enough not to be an attack (NIST SP 800-63B, 5.1.1.2).
pub fn check_password(text: &str) -> Result<(), PersonError> {
    if (8..=128).contains(&text.chars().count()) {
        Ok(())
    } else {
        Err(PersonError::Password)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_is_the_same_in_any_case() {
        assert_eq!(
            Email::parse("Ada@Example.org").unwrap().as_str(),
            "ada@example.org"
        );
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.org", "x".repeat(250));
        for wrong in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "a@b@c",
            "a b@c",
            "a@b\n",
            &long,
        ] {
            assert_eq!(Email::parse(wrong).err(), Some(PersonError::Email), "{wrong:?}");
        }
    }

    #[test]
    fn names_are_trimmed_and_bounded() {
        assert_eq!(parse_name("  Ada Lovelace ").unwrap(), "Ada Lovelace");
        assert!(parse_name(" \t ").is_err());
        assert!(parse_name("a\u{0}b").is_err());
        assert!(parse_name(&"x".repeat(101)).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parsers_panic(text in ".*") {
            let _ = (Email::parse(&text), parse_name(&text), check_password(&text));
        }
    }
}
