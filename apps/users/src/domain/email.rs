use std::borrow::Cow;

use idna::uts46::{AsciiDenyList, Hyphens, Uts46};
use precis_core::profile::PrecisFastInvocation;
use precis_profiles::UsernameCaseMapped;

use super::person::PersonError;

/// An e-mail address in the spelling by which addresses are compared: the part before the @ as a
/// user name (UsernameCaseMapped, RFC 8265, section 3.3), and the domain in Unicode as browsers
/// read it (UTS #46). The store sends no mail, so whether the address exists is not checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Email(String);

/// Characters of an address at most (RFC 5321, section 4.5.3.1.3, without the angle brackets).
const ADDRESS_MAX_CHARS: usize = 254;

impl Email {
    pub fn parse(text: &str) -> Result<Self, PersonError> {
        let address = prepared(text).ok_or(PersonError::Email)?;
        (address.chars().count() <= ADDRESS_MAX_CHARS)
            .then_some(Self(address))
            .ok_or(PersonError::Email)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn prepared(text: &str) -> Option<String> {
    let (local, domain) = parts(text)?;
    // A capital sigma at the end of a word has another lower case than within it; the profile does
    // not know that.
    let local = UsernameCaseMapped::enforce(Cow::from(local.to_lowercase())).ok()?;
    let (domain, known) =
        Uts46::new().to_unicode(domain.as_bytes(), AsciiDenyList::URL, Hyphens::Allow);
    known.ok()?;
    // A domain with a dot at its end is the same domain.
    let domain = domain.strip_suffix('.').unwrap_or(&domain);
    let is_whole =
        !local.contains('@') && !domain.is_empty() && !domain.contains(char::is_whitespace);
    is_whole.then(|| format!("{local}@{domain}"))
}

/// The parts before and after the @, which may be of full width; `None` unless there is exactly
/// one.
fn parts(text: &str) -> Option<(&str, &str)> {
    let (local, domain) = text.split_once(AT)?;
    let plain = text.chars().all(|c| !c.is_whitespace() && !c.is_control());
    let whole = !local.is_empty() && !domain.is_empty() && !domain.contains(AT);
    (plain && whole && text.chars().count() <= ADDRESS_MAX_CHARS).then_some((local, domain))
}

const AT: [char; 2] = ['@', '\u{ff20}'];

/// An address as a caller types it to log in. It also finds accounts that an earlier release stored
/// unprepared: under the spelling of their owner, with only A to Z in lower case.
#[derive(Clone, Debug)]
pub struct TypedEmail {
    spelling: String,
    prepared: Option<Email>,
}

impl TypedEmail {
    /// `None` if no release could have registered such a text.
    pub fn parse(text: &str) -> Option<Self> {
        parts(text).map(|_| Self {
            spelling: text.to_ascii_lowercase(),
            prepared: Email::parse(text).ok(),
        })
    }

    pub fn spelling(&self) -> &str {
        &self.spelling
    }

    /// The same text for all spellings of one address.
    pub fn key(&self) -> &str {
        self.prepared.as_ref().map_or(&self.spelling, Email::as_str)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> Option<String> {
        Email::parse(text).ok().map(|email| email.0)
    }

    #[test]
    fn an_address_is_the_same_however_it_is_spelt() {
        for (spellings, prepared) in [
            (
                &[
                    "ada@example.org",
                    "Ada@Example.ORG",
                    "ＡＤＡ＠example。org",
                    "ada@example.org.",
                ][..],
                "ada@example.org",
            ),
            (
                &[
                    "äda@example.org",
                    "ÄDA@example.org",
                    "A\u{308}da@example.org",
                ],
                "äda@example.org",
            ),
            (
                &[
                    "ada@MÜLLER.example",
                    "ada@mu\u{308}ller.example",
                    "ada@xn--mller-kva.example",
                ],
                "ada@müller.example",
            ),
            (
                &["ὀδυσσεύς@example.org", "ὈΔΥΣΣΕΎΣ@example.org"],
                "ὀδυσσεύς@example.org",
            ),
            (&["o'hara+shop@example.org"], "o'hara+shop@example.org"),
        ] {
            for spelling in spellings {
                assert_eq!(of(spelling).as_deref(), Some(prepared), "{spelling:?}");
            }
        }
    }

    #[test]
    fn different_people_have_different_addresses() {
        let different = [
            "ada", "ad4", "a.da", "äda", "åda", "аda", "ada+1", "adaß", "adass",
        ];
        let prepared: std::collections::BTreeSet<_> = different
            .iter()
            .map(|name| of(&format!("{name}@example.org")).unwrap())
            .collect();
        assert_eq!(prepared.len(), different.len());
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
            "a\u{0}@b",
            "a\u{200b}@b",
            "\u{202e}a@b",
            "a@\u{ad}",
            "a@.",
            "a@b c",
            "a@b/c",
            "a@xn--\u{e4}",
            "\u{2460}@b",
            &long,
        ] {
            assert_eq!(
                Email::parse(wrong).err(),
                Some(PersonError::Email),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn who_registered_under_any_spelling_is_found() {
        let typed = TypedEmail::parse("ÄDA@Example.org").unwrap();
        assert_eq!(
            (typed.spelling(), typed.key()),
            ("Äda@example.org", "äda@example.org")
        );
        let typed = TypedEmail::parse("☺@example.org").unwrap();
        assert_eq!(
            (typed.spelling(), typed.key()),
            ("☺@example.org", "☺@example.org")
        );
        assert!(TypedEmail::parse("ada").is_none());
    }

    proptest! {
        #[test]
        fn what_is_prepared_stays_as_it_is(local in "\\PC{1,12}", domain in "\\PC{1,12}") {
            if let Ok(email) = Email::parse(&format!("{local}@{domain}")) {
                prop_assert_eq!(Email::parse(email.as_str()), Ok(email.clone()));
                prop_assert_eq!(email.as_str().to_lowercase(), email.as_str());
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _ = (Email::parse(&text), TypedEmail::parse(&text));
        }
    }
}
