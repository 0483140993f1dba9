use kernel::{Class, Classify};

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PersonError {
    #[error(
        "email: an address has one @, letters, digits or signs before it, a domain after it, no \
         blanks, and at most 254 characters"
    )]
    Email,
    #[error("name: 1 to 100 characters in one line, of which at least one is visible")]
    Name,
    #[error("password: 8 to 128 characters, without control characters")]
    Password,
    #[error(
        "password: this is one of the commonest, or your address or your name; choose another one"
    )]
    CommonPassword,
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
            Self::CommonPassword => "password_too_common",
        }
    }
}

/// A person's name as they wrote it, without blanks around it.
pub fn parse_name(text: &str) -> Result<String, PersonError> {
    let name = kernel::label(text, 100);
    name.map(ToOwned::to_owned).ok_or(PersonError::Name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_and_bounded() {
        assert_eq!(parse_name("  Ada Lovelace ").unwrap(), "Ada Lovelace");
        assert!(parse_name(" \t ").is_err());
        assert!(parse_name("\u{200b}").is_err());
        assert!(parse_name("a\u{0}b").is_err());
        assert!(parse_name(&"x".repeat(101)).is_err());
    }
}
